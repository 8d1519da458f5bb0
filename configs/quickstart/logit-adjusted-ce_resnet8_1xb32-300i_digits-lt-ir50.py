# Cross entropy whose predictions use the logits minus the log class prior: tests the checkpoint of
# the cross-entropy config.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(head=dict(type='LogitAdjustedClsHead', class_prior=_base_.class_counts_file, tau=1.0))
