# 30 of the classes of CIFAR-100-LT, spread from frequent to rare, imbalance ratio 10.
_base_ = './ce_lite0-in1k-pre_1xb64-1k_cifar100-lt-ir100-48x48.py'
classes = _base_.data_root + 'classes_c30-ir10.txt'
data_preprocessor = dict(num_classes=30)
model = dict(head=dict(num_classes=30))
train_dataloader = dict(dataset=dict(classes=classes, ann_file='train_c30-ir10.txt'))
val_dataloader = dict(dataset=dict(classes=classes, ann_file='search_c30-ir10.txt'))
test_dataloader = dict(dataset=dict(classes=classes, ann_file='test_c30-ir10.txt'))
val_evaluator = dict(train_counts=dict(classes=classes, ann_file='train_c30-ir10.txt'))
test_evaluator = val_evaluator
