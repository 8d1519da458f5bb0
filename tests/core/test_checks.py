from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from paco_seg.core import checks


class TestCheckShape:
    @pytest.mark.parametrize('expected', [(2, 3), ('N', 3), (2, 'D'), ('N', 'D')])
    def test_accepts(self, expected):
        checks.check_shape('rows', torch.zeros(2, 3), expected)

    @pytest.mark.parametrize('expected', [(3, 2), ('N', 2), ('N',), ('G', 'N', 'D'), ()])
    def test_refuses(self, expected):
        with pytest.raises(checks.ShapeError, match=r'rows: expected shape \(.*\), got \(2, 3\)'):
            checks.check_shape('rows', torch.zeros(2, 3), expected)

    def test_is_a_value_error(self):
        assert issubclass(checks.ShapeError, ValueError)


class TestCheckInteger:
    @pytest.mark.parametrize('dtype', [torch.uint8, torch.int32, torch.int64])
    def test_accepts(self, dtype):
        checks.check_integer('labels', torch.zeros(2, dtype=dtype))

    @pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.bool, torch.complex64])
    def test_refuses(self, dtype):
        with pytest.raises(TypeError, match=f'labels: expected integer class indices.*{dtype}'):
            checks.check_integer('labels', torch.zeros(2, dtype=dtype))


class TestCheckRange:
    def test_accepts_the_ends(self):
        checks.check_range('x', 0, low=0.0, high=1.0)
        checks.check_range('x', 1.0, low=0.0, high=1.0)

    @pytest.mark.parametrize(
        ('value', 'limits', 'wanted'),
        [
            (-1, {'low': 0.0}, '>= 0'),
            (0, {'low': 0.0, 'low_open': True}, '> 0'),
            (2, {'low': 0.0, 'high': 1.0}, r'a value in \[0, 1\]'),
            (0, {'low': 0.0, 'high': 1.0, 'low_open': True}, r'a value in \(0, 1\]'),
            (math.nan, {'low': 0.0}, '>= 0'),
            (math.inf, {'low': 0.0, 'high': 1.0}, r'a value in \[0, 1\]'),
            (math.inf, {'low': 0.0}, '>= 0 and finite'),
            (math.inf, {'low': 0.0, 'low_open': True}, '> 0 and finite'),
            (math.inf, {}, 'a number and finite'),
            (-math.inf, {'high': 1.0}, r'a value in \[-inf, 1\]'),
        ],
    )
    def test_refuses(self, value, limits, wanted):
        with pytest.raises(ValueError, match=f'x: expected {wanted}, got {value}'):
            checks.check_range('x', value, **limits)

    def test_names_the_remedy(self):
        with pytest.raises(ValueError, match=r'x: expected >= 1, got 0\. Make it larger$'):
            checks.check_range('x', 0, low=1, remedy='Make it larger')

    @pytest.mark.parametrize('value', [np.float32(0.5), np.float64(0.5), np.int64(1)])
    def test_accepts_the_numbers_of_numpy(self, value):
        checks.check_range('alpha', value, low=0.0, high=1.0)

    def test_integers_of_any_size_are_numbers(self):
        checks.check_range('x', 10**400, low=0.0)

    @pytest.mark.parametrize('value', ['1', None, True, [1.0]])
    def test_refuses_what_is_no_number(self, value):
        with pytest.raises(TypeError, match='x: expected a number, got'):
            checks.check_range('x', value, low=0.0)


class TestCheckCount:
    @pytest.mark.parametrize('value', [1, 7, np.int64(3)])
    def test_accepts(self, value):
        checks.check_count('x', value, low=1, high=7)

    @pytest.mark.parametrize('value', [True, 1.0, '1', None, math.inf, math.nan])
    def test_refuses_what_is_no_integer(self, value):
        with pytest.raises(TypeError, match=f'x: expected an integer, got {value!r}. Count$'):
            checks.check_count('x', value, remedy='Count')

    def test_refuses_what_is_out_of_range(self):
        with pytest.raises(ValueError, match=r'x: expected >= 1, got 0\. Count$'):
            checks.check_count('x', 0, low=1, remedy='Count')
        with pytest.raises(ValueError, match=r'x: expected a value in \[0, 3\], got 4'):
            checks.check_count('x', 4, high=3)


class TestCheckBool:
    @pytest.mark.parametrize('value', ['no', 'False', 0, 1, None, 1.0])
    def test_refuses_what_python_would_convert(self, value):
        with pytest.raises(TypeError, match=f'x: expected True or False, got {value!r}'):
            checks.check_bool('x', value)

    @pytest.mark.parametrize('value', [True, False])
    def test_accepts(self, value):
        checks.check_bool('x', value)


class TestCheckChoice:
    def test_lists_the_choices(self):
        checks.check_choice('scope', 'image', ['image', 'batch'])
        with pytest.raises(ValueError, match="scope: expected one of 'image', 'batch', got 'set'"):
            checks.check_choice('scope', 'set', ['image', 'batch'])


class TestCheckLabels:
    def test_accepts(self):
        checks.check_labels('labels', torch.tensor([0, 3, 255]), 4, allowed=(255,))
        checks.check_labels('labels', torch.empty(0, dtype=torch.long), 4)

    @pytest.mark.parametrize('special', [-1, -100])
    def test_bytes_are_compared_as_numbers(self, special):
        labels = torch.tensor([0, special % 256], dtype=torch.uint8)
        with pytest.raises(ValueError, match=rf'got \[{special % 256}\]'):
            checks.check_labels('labels', labels, 3, allowed=(special,))

    def test_names_the_offenders(self):
        labels = torch.tensor([0, -1, 4, 4, 255])
        with pytest.raises(
            ValueError, match=r'labels: expected values in \[0, 4\) or 255, got \[-1, 4\]\. Check'
        ):
            checks.check_labels('labels', labels, 4, allowed=(255,))


class TestCheckPrior:
    def test_accepts(self):
        checks.check_prior('prior', torch.tensor([3.0, 1e-6]), 2)

    def test_refuses_another_length(self):
        with pytest.raises(checks.ShapeError, match=r'prior: expected shape \(3\), got \(2,\)'):
            checks.check_prior('prior', torch.ones(2), 3)

    @pytest.mark.parametrize('bad', [0.0, -1.0, math.nan, math.inf])
    def test_names_the_classes(self, bad):
        with pytest.raises(ValueError, match=r'prior: expected positive finite.*classes \[1\]'):
            checks.check_prior('prior', torch.tensor([1.0, bad]), 2)


class TestComputeDtype:
    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
    def test_at_least_float32(self, dtype):
        assert checks.compute_dtype(torch.zeros(1, dtype=dtype), None) == torch.float32

    def test_float64_if_any(self):
        mixed = (torch.zeros(1).half(), torch.zeros(1).double())
        assert checks.compute_dtype(*mixed) == torch.float64
