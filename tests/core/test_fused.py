"""When the fused kernels run, that they are right, and that they fit the chips: without a GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.suites import run_suite

from paco_seg.core import fused, parametric_contrastive_loss
from paco_seg.core.contrast import ContrastRows, contrast_sums
from paco_seg.core.paco import PaCoSettings, _choose

SUITE = Path(__file__).with_name('fused_suite.py')


def test_kernels_in_the_interpreter():
    """Values and gradients against float64, in a process that interprets Triton from the start."""
    said = run_suite(SUITE, TRITON_INTERPRET='1')
    assert 'passed' in said


class TestAheadOfTime:
    """Compiled for chips that are not here: A100 (8.0) and H100 (9.0)."""

    # What every device from 8.0 on offers to a block of threads, and what an H100 does, whose
    # tiles nobody else gets.
    SHARED = {80: 99 * 1024, 90: 227 * 1024}

    STACK = {'forward': 112, 'rows': 200}

    @pytest.mark.parametrize('capability', [80, 90])
    @pytest.mark.parametrize(
        ('precision', 'dtype'),
        [('half', torch.float16), ('bf16x3', torch.float32), ('tf32', torch.float32)],
    )
    @pytest.mark.parametrize('kernel', ['forward', 'rows'])
    def test_spills_and_room_for_shared_memory(self, kernel, capability, precision, dtype):
        """The gradient by keys keeps what that by rows does, and less."""
        pytest.importorskip('triton', reason='Triton is not installed')
        from helpers import ahead_of_time

        if not (ahead_of_time.TOOLS / 'ptxas').exists():
            pytest.skip('Triton comes without ptxas here')
        from paco_seg.core import fused_kernels

        flags = dict(HAS_KEYS=True)
        if kernel == 'forward':
            flags |= dict(SMOOTH=True, BLOCK_C=32)
        compiled = ahead_of_time.compile_kernel(
            getattr(fused_kernels, f'{kernel}_kernel'), capability, precision, dtype, 128, **flags
        )
        usage = ahead_of_time.usage(compiled)
        # Measured on an H100: tiles that spill this little beat all that spill nothing, by a sixth.
        measured = capability == 90 and precision == 'half'
        assert usage.stack <= (self.STACK[kernel] if measured else 0)
        assert usage.shared <= self.SHARED[capability]


def rows(channels=8, dtype=torch.float32, device='cpu'):
    """What the choice looks at, on devices that need not exist."""
    return SimpleNamespace(shape=(1, 5, channels), dtype=dtype, device=torch.device(device))


@pytest.fixture
def device_reason(monkeypatch):
    """Forgets what was found about devices, before and after."""
    found = (fused._find_device_reason, fused._find_kernel_reason)
    for function in found:
        function.cache_clear()
    yield
    for function in found:
        function.cache_clear()


@pytest.fixture
def hopper(monkeypatch, device_reason):
    """A CUDA device of capability 9.0 on which every kernel compiles."""
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'some device')
    monkeypatch.setattr(fused, '_run_few_rows', lambda *_: None)


class TestChoice:
    settings = PaCoSettings(alpha=0.1, temperature=0.2, key='loss')

    def choose(self, impl='auto', dtype=torch.float32, **input_):
        settings = PaCoSettings(alpha=0.1, temperature=0.2, impl=impl, key='loss')
        return _choose(settings, rows(**input_), dtype)

    @pytest.mark.usefixtures('hopper')
    @pytest.mark.parametrize('channels', [1, 128, 256])
    def test_auto_takes_them_on_a_gpu(self, channels):
        assert self.choose(channels=channels, device='cuda:0') == 'triton'

    @pytest.mark.usefixtures('hopper')
    def test_auto_leaves_them_otherwise(self):
        assert self.choose(device='cpu') == 'auto'
        assert self.choose(device='cuda:0', channels=257) == 'auto'
        assert self.choose(device='cuda:0', dtype=torch.float64) == 'auto'
        assert self.choose('streaming', device='cuda:0') == 'streaming'

    @pytest.mark.usefixtures('hopper')
    @pytest.mark.parametrize(
        ('input_', 'message'),
        [
            (dict(dtype=torch.float64), r"float32, float16 or bfloat16 input for 'triton', got fl"),
            (dict(channels=257), r"at most 256 channels for 'triton', got 257\."),
        ],
    )
    def test_input_that_they_cannot_take(self, input_, message):
        with pytest.raises(RuntimeError, match=rf'^loss\.impl: expected {message}'):
            self.choose('triton', device='cuda:0', **input_)

    @pytest.mark.usefixtures('device_reason')
    def test_no_device(self):
        with pytest.raises(RuntimeError, match=r"expected a CUDA device for 'triton' .*, got a te"):
            self.choose('triton')

    def test_old_device(self, monkeypatch, hopper):
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (7, 5))
        assert self.choose(device='cuda:0') == 'auto'
        with pytest.raises(RuntimeError, match=r'capability 8\.0 or newer.* got 7\.5 \(some dev'):
            self.choose('triton', device='cuda:0')

    def test_device_of_another_kind(self, monkeypatch, hopper):
        monkeypatch.setattr(torch.version, 'hip', '6.0')
        assert self.choose(device='cuda:0') == 'auto'
        with pytest.raises(RuntimeError, match='expected an NVIDIA device'):
            self.choose('triton', device='cuda:0')

    def test_no_compiler_for_the_launcher(self, monkeypatch, hopper):
        def fail(*_):
            raise RuntimeError('Failed to find C compiler')

        monkeypatch.setattr(fused, '_run_few_rows', fail)
        assert self.choose(device='cuda:0') == 'auto'
        with pytest.raises(RuntimeError, match='got RuntimeError: Failed to find C compiler'):
            self.choose('triton', device='cuda:0')

    def test_memory_that_ran_out_is_not_remembered(self, monkeypatch, hopper):
        def fail(*_):
            raise torch.OutOfMemoryError('CUDA out of memory')

        with monkeypatch.context() as now:
            now.setattr(fused, '_run_few_rows', fail)
            with pytest.raises(torch.OutOfMemoryError):
                self.choose(device='cuda:0')
        assert self.choose(device='cuda:0') == 'triton'

    @pytest.mark.usefixtures('device_reason')
    def test_no_triton(self, monkeypatch):
        monkeypatch.delitem(sys.modules, 'paco_seg.core.fused_kernels', raising=False)
        monkeypatch.delattr('paco_seg.core.fused_kernels', raising=False)
        monkeypatch.setitem(sys.modules, 'triton', None)
        assert self.choose(device='cuda:0') == 'auto'
        with pytest.raises(RuntimeError, match=r"expected an installed Triton for 'triton', got"):
            self.choose('triton', device='cuda:0')

    @pytest.mark.usefixtures('device_reason')
    def test_public_call_says_why(self):
        with pytest.raises(RuntimeError, match=r"^impl: expected a CUDA device .*Set impl='auto'"):
            parametric_contrastive_loss(
                torch.ones(2, 3),
                torch.zeros(2, dtype=torch.long),
                torch.zeros(2, 4),
                alpha=0.1,
                temperature=1.0,
                impl='triton',
            )

    def test_sums_alone_have_no_kernel(self):
        empty, no_label = torch.ones(1, 2, 3), torch.zeros(1, 2, dtype=torch.long)
        some = ContrastRows(empty, no_label, None, empty[0, :0], no_label[0, :0], None, 1)
        with pytest.raises(ValueError, match=r"impl: expected 'auto', 'dense' or 'streaming' for"):
            contrast_sums(some, 1.0, impl='triton')


@pytest.mark.parametrize(
    ('dtype', 'products', 'precision'),
    [
        (torch.float32, 'highest', 'bf16x3'),
        (torch.float32, 'high', 'tf32'),
        (torch.float32, 'medium', 'tf32'),
        (torch.float16, 'highest', 'half'),
        (torch.bfloat16, 'high', 'half'),
    ],
)
def test_precision_follows_torch(dtype, products, precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(products)
    try:
        assert fused.product_precision(dtype) == precision
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(('capability', 'name'), [((9, 0), 'HOPPER_TILES'), ((12, 0), 'TILES')])
def test_tiles_are_those_measured_on_the_chip(monkeypatch, capability, name):
    """A chip that nobody measured may have less shared memory than an H100."""
    monkeypatch.setattr(fused, '_capability', lambda index: capability)
    tiles = getattr(fused, name)['half']['keys']
    device = torch.device('cuda', 0)
    assert [fused.tile_of('keys', 'half', d, device) for d in (128, 129)] == list(tiles)
    assert fused.tile_of('keys', 'half', 8, torch.device('cpu')) == fused.TILES['half']['keys'][0]


class TestOperands:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))

    def test_two_bfloat16_hold_sixteen_bits(self):
        high, low = fused._operands(self.values, 'bf16x3')
        error = (high.double() + low.double() - self.values.double()).abs()
        assert (error <= 2**-17 * self.values.abs()).all()

    def test_tf32_is_rounded_to_the_nearest(self):
        rounded, _ = fused._operands(self.values, 'tf32')
        assert ((rounded.view(torch.int32) & 0x1FFF) == 0).all()
        assert ((rounded - self.values).abs() <= 2**-11 * self.values.abs()).all()
        exact = torch.tensor([1.0, 1.5, -3.0])
        assert torch.equal(fused._operands(exact, 'tf32')[0], exact)

    def test_halves_are_taken_as_they_are(self):
        half = self.values.half()
        assert fused._operands(half, 'half')[0] is half


@pytest.mark.gpu
class TestOnDevice:
    """The real tensor cores; ``benchmarks/gpu.py`` reports their errors."""

    # As in the interpreter: roundings of the operands, times 1 / T.
    @pytest.mark.parametrize(
        ('dtype', 'products', 'tolerance'),
        [
            (torch.float32, 'highest', 2**-15),
            (torch.float32, 'high', 2**-9),
            (torch.float16, 'highest', 2**-10),
            (torch.bfloat16, 'highest', 2**-7),
        ],
    )
    def test_values_and_gradients(self, dtype, products, tolerance):
        rng = torch.Generator().manual_seed(0)
        made = [
            torch.nn.functional.normalize(torch.randn(2, 700, 128, generator=rng), dim=-1),
            torch.randn(2, 700, 40, generator=rng),
            torch.nn.functional.normalize(torch.randn(500, 128, generator=rng), dim=-1),
        ]
        leaves = [tensor.to('cuda', dtype).requires_grad_() for tensor in made]
        labels = torch.randint(0, 40, (2, 700), generator=rng).cuda()
        labels[:, ::7] = 255
        key_labels = torch.randint(-1, 40, (500,), generator=rng).cuda()

        def evaluate(leaves, impl):
            loss = parametric_contrastive_loss(
                leaves[0],
                labels,
                leaves[1],
                alpha=0.05,
                temperature=0.07,
                ignore_index=255,
                contrast_ignored=False,
                label_smoothing=0.1,
                keys=leaves[2],
                key_labels=key_labels,
                reduction='sum',
                impl=impl,
            )
            return [loss.detach(), *torch.autograd.grad(loss, leaves)]

        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(products)
        try:
            actual, again = evaluate(leaves, 'auto'), evaluate(leaves, 'triton')
            assert all(torch.equal(a, b) for a, b in zip(actual, again, strict=True))
        finally:
            torch.set_float32_matmul_precision(before)
        exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
        for value, wanted in zip(actual, evaluate(exact, 'dense'), strict=True):
            error = (value.double() - wanted).abs().max()
            assert error <= tolerance / 0.07 * wanted.abs().max().clamp(min=1.0)
