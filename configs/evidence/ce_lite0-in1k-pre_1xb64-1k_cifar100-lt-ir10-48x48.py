# CIFAR-100-LT with imbalance ratio 10: 50 to 5 images per class, for the rare ones have no more.
_base_ = './ce_lite0-in1k-pre_1xb64-1k_cifar100-lt-ir100-48x48.py'
classes = _base_.data_root + 'classes_c100-ir10.txt'
train_dataloader = dict(dataset=dict(classes=classes, ann_file='train_c100-ir10.txt'))
val_dataloader = dict(dataset=dict(classes=classes, ann_file='search_c100-ir10.txt'))
test_dataloader = dict(dataset=dict(classes=classes, ann_file='test_c100-ir10.txt'))
val_evaluator = dict(train_counts=dict(classes=classes, ann_file='train_c100-ir10.txt'))
test_evaluator = val_evaluator
