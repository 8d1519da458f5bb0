# Schedule of the GPaCo authors for Swin: the polynomial decay counts from iteration 0 and the
# warm-up multiplies it. The stock files restart the decay after the warm-up, which gives up to 1 %
# more lr. Use it as `param_scheduler = _base_.poly_from_start`.
poly_from_start = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=160000),
]
