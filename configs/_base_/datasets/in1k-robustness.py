# ImageNet-C, -R and -Sketch for a config of ImageNet-1k, each under a name of its own: a config
# says test_dataloader = dict(_delete_=True, **_base_.imagenet_c_dataloader). Their pipeline is that
# of the clean validation set, which such a config hands over, see the *_in1k-c.py files.
loader = dict(batch_size=64, num_workers=8, sampler=dict(type='DefaultSampler', shuffle=False))
imagenet_c_dataloader = dict(
    loader, dataset=dict(type='ImageNetC', data_root='data/imagenet-c', pipeline=[])
)
imagenet_c_evaluator = dict(type='ImageNetCError')
imagenet_r_dataloader = dict(
    loader, dataset=dict(type='ImageNetR', data_root='data/imagenet-r', pipeline=[])
)
imagenet_r_evaluator = dict(type='SubsetAccuracy', class_indices='imagenet-r', prefix='imagenet-r')
# 1000 class folders named by WordNet id, like the validation set
sketches = dict(type='ImageNet', data_root='data/imagenet-sketch', split='', data_prefix='sketch')
imagenet_sketch_dataloader = dict(loader, dataset=dict(sketches, pipeline=[]))
imagenet_sketch_evaluator = dict(type='Accuracy', topk=(1, 5), prefix='imagenet-sketch')
del loader, sketches
