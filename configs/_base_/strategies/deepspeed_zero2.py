# ZeRO stage 2 of DeepSpeed, which has to be installed: gradients and optimizer states in slices.
# Inherit it beside a recipe, and give the optimizer to DeepSpeed:
#   optim_wrapper = dict(
#       _delete_=True, type='DeepSpeedOptimWrapper', optimizer=dict(...as in the recipe...))
runner_type = 'FlexibleRunner'
strategy = dict(
    type='DeepSpeedStrategy',
    # float32: fp16 and bf16 of DeepSpeed would cast class frequencies and queues as well.
    zero_optimization=dict(
        stage=2,
        allgather_partitions=True,
        allgather_bucket_size=2e8,
        overlap_comm=True,
        reduce_scatter=True,
        reduce_bucket_size=2e8,
        contiguous_gradients=True,
    ),
)
