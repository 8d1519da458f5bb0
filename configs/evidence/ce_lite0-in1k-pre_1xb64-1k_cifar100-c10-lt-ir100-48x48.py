# 10 of the classes of CIFAR-100-LT, spread from frequent to rare, imbalance ratio 100.
_base_ = './ce_lite0-in1k-pre_1xb64-1k_cifar100-lt-ir100-48x48.py'
classes = _base_.data_root + 'classes_c10-ir100.txt'
data_preprocessor = dict(num_classes=10)
model = dict(head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(classes=classes, ann_file='train_c10-ir100.txt'))
val_dataloader = dict(dataset=dict(classes=classes, ann_file='search_c10-ir100.txt'))
test_dataloader = dict(dataset=dict(classes=classes, ann_file='test_c10-ir100.txt'))
val_evaluator = dict(train_counts=dict(classes=classes, ann_file='train_c10-ir100.txt'))
test_evaluator = val_evaluator
