"""A trained model as a file that runs without its training code: torch.export or ONNX.

Legend: N images, C classes, H and W height and width.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from paco_seg.files import written_aside

SUFFIXES = ('.onnx', '.pt2')
# Import name -> distribution, of what writing and checking ONNX needs.
ONNX_PACKAGES = {'onnx': 'onnx', 'onnxscript': 'onnxscript', 'onnxruntime': 'onnxruntime'}
# Largest difference of two runtimes, over the largest score: float32 sums in another order.
TOLERANCE = 1e-4


def check_format(path: str, key: str = '--out') -> None:
    """Refuse formats that are not written, and ONNX where its packages are missing.

    Raises:
        ValueError: names the formats, or the command that installs what is missing.
    """
    suffix = Path(path).suffix
    if suffix in ('.pt', '.pth', '.ts', '.torchscript'):
        raise ValueError(
            f'{key}: expected a name that ends in .onnx or .pt2, got {path!r}. TorchScript is '
            'deprecated in PyTorch: .pt2 is its successor, torch.export'
        )
    if suffix not in SUFFIXES:
        raise ValueError(
            f'{key}: expected a name that ends in .onnx or .pt2 (torch.export), got {path!r}. '
            'Change the name'
        )
    missing = [name for name, module in ONNX_PACKAGES.items() if find_spec(module) is None]
    if suffix == '.onnx' and missing:
        raise ValueError(
            f'{key}: expected the packages that write and check ONNX, got none of '
            f'{", ".join(missing)}. Install them: pip install {" ".join(missing)}'
        )


def export(model: nn.Module, images: Tensor, path: str, *, fixed_batch: bool) -> float:
    """Write a model, load it again, and compare its scores with those of the original.

    The file is written if they agree, else nothing is.

    Args:
        model: images -> scores, in eval mode, on the CPU.
        images: (N, channels, H, W) example; N > 1 unless ``fixed_batch``.
        path: ``.onnx`` or ``.pt2``.
        fixed_batch: whether the file takes N images only, instead of any number.

    Returns:
        The largest difference of a score, over the largest score.

    Raises:
        ValueError: the model cannot be exported, or its scores differ.
    """
    dynamic = None if fixed_batch else ({0: torch.export.Dim('images', min=1)},)
    with torch.inference_mode(False), torch.no_grad(), _quiet():
        try:
            program = torch.export.export(model, (images,), dynamic_shapes=dynamic)
        except Exception as error:  # whatever the tracing of foreign code runs into
            advice = (
                'Export another model'
                if fixed_batch
                else 'Try --batch-size 1, which fixes the number of images'
            )
            line = str(error).strip().split('\n', 1)[0]
            raise ValueError(
                f'model: expected operations that torch.export follows, got {line}. {advice}'
            ) from error
        with written_aside(path) as unfinished:
            run: Callable[[Tensor], Tensor]
            if Path(path).suffix == '.pt2':
                # A file that PyTorch writes itself ends the process where the disk is full.
                content = io.BytesIO()
                torch.export.save(program, content)
                unfinished.write_bytes(content.getbuffer())
                run = torch.export.load(unfinished).module()
            else:
                torch.onnx.export(
                    program,
                    f=unfinished,
                    input_names=['images'],
                    output_names=['scores'],
                    external_data=False,
                )
                run = _onnx_session(unfinished)
            return _compare(model, run, images, path, fixed_batch)


def _compare(
    model: nn.Module,
    run: Callable[[Tensor], Tensor],
    images: Tensor,
    path: str,
    fixed_batch: bool,
) -> float:
    generator = torch.Generator().manual_seed(1)
    number = len(images) if fixed_batch else len(images) + 1
    other = torch.randn(number, *images.shape[1:], generator=generator)
    wanted, got = model(other), run(other)
    difference = float((wanted - got).abs().max() / wanted.abs().max().clamp(min=1e-12))
    if not difference <= TOLERANCE:
        raise ValueError(
            f'{path}: expected the scores of the model up to {TOLERANCE:g} of the largest one, got '
            f'a difference of {difference:.2g}. Nothing was written'
        )
    return difference


def _onnx_session(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=['CPUExecutionProvider'])
    (name,) = (value.name for value in session.get_inputs())

    def run(images: Tensor) -> Tensor:
        (scores,) = session.run(None, {name: images.numpy()})
        return torch.from_numpy(scores)

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress of the exporter, and its warnings about itself, off the terminal."""
    level = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
