# Gradients and optimizer states in slices, one per process; whole parameters in a step, as DDP has
# them. Inherit it beside a recipe: _base_ = [RECIPE, '../_base_/strategies/fsdp.py'].
runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    # The losses read parameters outside their layers: one unit, without auto_wrap_policy. Frozen
    # parameters need use_orig_params.
    model_wrapper=dict(
        type='MMFullyShardedDataParallel', sharding_strategy='SHARD_GRAD_OP', use_orig_params=True
    ),
    # Checkpoints are one file, as those of every other training.
    state_dict_cfg='full',
)
