"""The files of CIFAR are data: what wants to run is refused, and so is what leaves the folder."""

import os
import pickle

import numpy as np
import pytest

from paco_seg.comparison.demo_data.cifar_files import read_cifar_file

# As Python 2 and the NumPy of that time wrote the archive: protocol 2, the bytes as text.
OLD = (
    b'\x80\x02}q\x01U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04'
    b'K\x00\x85U\x01b\x87Rq\x05(K\x01K\x03\x85cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNN'
    b'J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x03\x01\x02\xfftbs.'
)


class Runs:
    """Makes a file when it is read by a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('protocol', range(6))
def test_arrays_and_plain_values_are_read(tmp_path, protocol):
    content = dict(data=np.arange(6, dtype=np.uint8).reshape(2, 3), filenames=['a.png', 'b.png'])
    path = tmp_path / 'train'
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_cifar_file(path, ['data', 'filenames'])
    np.testing.assert_array_equal(found['data'], content['data'])
    assert found['filenames'] == content['filenames']


def test_a_file_of_the_first_numpy_is_read(tmp_path):
    (tmp_path / 'train').write_bytes(OLD)
    np.testing.assert_array_equal(
        read_cifar_file(tmp_path / 'train', ['data'])['data'], [1, 2, 255]
    )


@pytest.mark.parametrize('content', [Runs, lambda path: dict(filenames=[Runs(path)])])
def test_nothing_is_executed(tmp_path, content):
    path = tmp_path / 'meta'
    path.write_bytes(pickle.dumps(content(tmp_path / 'made')))
    with pytest.raises(
        ValueError, match=r'meta: expected arrays and plain values .*it wants \w+\.mkdir'
    ):
        read_cifar_file(path, ['filenames'])
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize(
    ('content', 'got'),
    [
        (b'', 'got a file that cannot be read'),
        (b'text', 'got a file that cannot be read'),
        (pickle.dumps(3), 'got a file that cannot be read'),
        (pickle.dumps(dict(filenames=[])), "got none of 'data'"),
    ],
)
def test_another_file_is_named(tmp_path, content, got):
    (tmp_path / 'train').write_bytes(content)
    with pytest.raises(ValueError, match=f'train: expected arrays .* keys data, filenames, {got}'):
        read_cifar_file(tmp_path / 'train', ['data', 'filenames'])


@pytest.mark.parametrize('name', ['../x.png', '/x.png', 'a/b.png', '..', 'a\\b.png', '', 3])
@pytest.mark.parametrize('key', ['filenames', 'fine_label_names'])
def test_names_stay_in_their_folder(tmp_path, key, name):
    (tmp_path / 'meta').write_bytes(pickle.dumps({key: ['good', name]}))
    with pytest.raises(ValueError, match=rf'meta: {key}: expected names without a folder, got'):
        read_cifar_file(tmp_path / 'meta', [key])
