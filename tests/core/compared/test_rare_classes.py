import numpy as np
import pytest
from references.rare_classes import draw_probabilities as reference

from paco_seg.core.compared.rare_classes import draw_probabilities


@pytest.mark.parametrize('temperature', [0.05, 0.5, 10.0])
def test_equals_the_reference(temperature):
    pixels = [900, 80, 0, 20]
    found = draw_probabilities(pixels, temperature)
    np.testing.assert_allclose(found, reference(pixels, temperature), rtol=1e-12)
    assert found[2] == 0.0


def test_rarer_classes_are_drawn_more_often_and_heat_evens_out():
    pixels = [900, 80, 20]
    assert list(np.argsort(draw_probabilities(pixels, 0.1))) == [0, 1, 2]
    np.testing.assert_allclose(draw_probabilities(pixels, 1e6), 1 / 3, rtol=1e-5)


@pytest.mark.parametrize('temperature', [0.01, 1.0])
def test_equal_shares_are_drawn_alike(temperature):
    np.testing.assert_allclose(draw_probabilities([7, 7, 7, 0], temperature), [1 / 3] * 3 + [0])


@pytest.mark.filterwarnings('error')
def test_a_small_temperature_does_not_overflow():
    found = draw_probabilities([10**9, 5, 1], 1e-4)
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1.0)
    assert draw_probabilities([10, 5, 0], 1e-4).tolist() == pytest.approx([0.0, 1.0, 0.0])


@pytest.mark.parametrize(('pixels', 'temperature'), [([1, 2], 0.0), ([0, 0], 1.0)])
def test_errors(pixels, temperature):
    with pytest.raises(ValueError, match='expected'):
        draw_probabilities(pixels, temperature)
