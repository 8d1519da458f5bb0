from paco_seg.engine.pictures import PictureSelection


def painted(interval, limit, batches):
    seen = []

    def paint(runner, *, batch_idx, data_batch, outputs):
        assert data_batch['inputs'] == [f'image {output}' for output in outputs]
        seen.extend(outputs)

    selection = PictureSelection(paint, interval, limit)
    start = 0
    for number, size in enumerate(batches):
        outputs = list(range(start, start + size))
        start += size
        inputs = {'inputs': [f'image {output}' for output in outputs]}
        selection(None, batch_idx=number, data_batch=inputs, outputs=outputs)
    return seen


def test_every_nth_up_to_a_limit():
    assert painted(1, None, [2, 2, 1]) == [0, 1, 2, 3, 4]
    assert painted(3, None, [2, 2, 2, 2]) == [0, 3, 6]
    assert painted(2, 2, [4, 4]) == [0, 2]
    assert painted(1, 3, [2, 2, 2]) == [0, 1, 2]
