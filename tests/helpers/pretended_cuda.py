"""A GPU that is not there: its tensors say ``pretended:0`` and carry their data on the CPU.

Under :func:`pretended_cuda` every operation of PyTorch passes one Python function, which

- refuses operations on tensors of both devices, as CUDA does (scalars excepted);
- counts what would make the host wait for the device: ``item()``, ``nonzero()``, boolean indices,
  ``unique()``, copies from one device to the other;
- counts kernels (operations that are no views).

Control flow that depends on data runs to its end, because the data is there: FakeTensorMode cannot
do that. Autocast follows the policies of CUDA, read from the header that PyTorch ships.

PyTorch has one slot for a device of others, and a process that took it keeps it: use this in
processes of their own (:func:`helpers.suites.run_suite`).
"""

from __future__ import annotations

import collections
import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

aten = torch.ops.aten
NAME = 'pretended'
PACKAGE = 'paco_seg'
# Operations whose result has a size, or a value on the host, that the device decides.
WAITS = {
    aten._local_scalar_dense.default: 'item',
    aten.nonzero.default: 'nonzero',
    aten.masked_select.default: 'masked_select',
    aten._unique2.default: 'unique',
    aten.unique_dim.default: 'unique',
    aten.unique_consecutive.default: 'unique',
    aten.bincount.default: 'bincount',
    aten.equal.default: 'equal',
    aten.repeat_interleave.Tensor: 'repeat_interleave',
}
INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
COPIES = {aten._to_copy.default, aten.copy_.default}


class DeviceMixError(RuntimeError):
    """An operation got tensors of both devices."""


class Trace:
    """What happened since the last :meth:`clear`."""

    def __init__(self) -> None:
        self.waits: collections.Counter[str] = collections.Counter()
        self.kernels = 0
        self.operations: collections.Counter[str] = collections.Counter()

    def clear(self) -> None:
        """Forget everything."""
        self.waits.clear()
        self.operations.clear()
        self.kernels = 0

    def own_waits(self) -> dict[str, int]:
        """Synchronisations that the package itself asked for: ``'item paco_seg/...:12' -> 1``."""
        return {what: count for what, count in self.waits.items() if f' {PACKAGE}/' in what}


_TRACE = Trace()


class PretendedTensor(torch.Tensor):
    """A tensor on the pretended device; ``held`` is its data."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> PretendedTensor:
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
            requires_grad=requires_grad,
        )
        self.held = held
        return self

    def __repr__(self, **_: Any) -> str:
        return f'PretendedTensor({self.held!r})'

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees operations without any tensor as well, such as ``torch.zeros(device=...)``."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class _Constructors(TorchFunctionMode):
    """``torch.tensor(data, device=...)`` copies below every dispatch mode: a wait, seen here."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor, torch.asarray):
            device = kwargs.pop('device', None)
            there = device is not None and torch.device(device).type == NAME
            with torch._C.DisableTorchFunction():
                made = function(*args, **kwargs)
                if isinstance(made, PretendedTensor) or not there:
                    return made if device is None else made.to(device)
            _wait('copy of host data')
            return PretendedTensor(made)
        if function is torch.Tensor.new_tensor and isinstance(args[0], PretendedTensor):
            _wait('copy of host data')
            return PretendedTensor(
                torch.tensor(args[1], dtype=kwargs.get('dtype') or args[0].dtype)
            )
        if function in (torch.Tensor.tolist, torch.Tensor.numpy):  # not for subclasses
            if isinstance(args[0], PretendedTensor):
                _wait('copy to the other device')
                return function(args[0].held)
        return function(*args, **kwargs)


@contextlib.contextmanager
def pretended_cuda() -> Iterator[Trace]:
    """Run operations on pretended tensors; yields what they do to the device."""
    _register()
    _TRACE.clear()
    # The modes are known to this thread alone, and so is the CPU that computes everything.
    with torch.autograd.set_multithreading_enabled(False), _Mode(), _Constructors():
        yield _TRACE


def to_device(value: Any) -> Any:
    """Copy tensors (also in lists, tuples and dicts) to the device; change a module in place."""
    if isinstance(value, torch.nn.Module):
        for module in value.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    held = PretendedTensor(parameter.detach().clone())
                    module._parameters[name] = torch.nn.Parameter(held, parameter.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = PretendedTensor(buffer.detach().clone())
        return value
    return tree_map_only(
        torch.Tensor,
        lambda tensor: PretendedTensor(tensor.detach().clone(), tensor.requires_grad),
        value,
    )


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """The data, without any trace."""
    return tensor.held if isinstance(tensor, PretendedTensor) else tensor


def _run(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    flat, spec = tree_flatten((args, kwargs))
    there = [value for value in flat if isinstance(value, PretendedTensor)]
    here = [
        value
        for value in flat
        if isinstance(value, torch.Tensor) and not isinstance(value, PretendedTensor)
    ]
    devices = [value.type for value in flat if isinstance(value, torch.device)]
    goes_there = devices[0] == NAME if devices else bool(there)
    _refuse_mixes(function, there, here)
    _count_waits(function, args, there, here, devices)

    held = [
        value.held
        if isinstance(value, PretendedTensor)
        else torch.device('cpu')
        if isinstance(value, torch.device) and value.type == NAME
        else value
        for value in flat
    ]
    held_args, held_kwargs = tree_unflatten(held, spec)
    held_kwargs.pop('pin_memory', None)
    result = function(*held_args, **held_kwargs)
    if not goes_there:
        return result
    if not function.is_view:
        _TRACE.kernels += 1
        _TRACE.operations[str(function)] += 1
    # What an operation changed in place is the tensor it was given, not a new one.
    known = {id(tensor.held): tensor for tensor in there} if function._schema.is_mutable else {}
    return tree_map_only(
        torch.Tensor,
        lambda tensor: known.get(id(tensor)) if id(tensor) in known else PretendedTensor(tensor),
        result,
    )


def _refuse_mixes(function: Any, there: list[Any], here: list[Any]) -> None:
    if not there or function in COPIES or function in INDEXING:
        return
    shapes = [tuple(tensor.shape) for tensor in here if tensor.dim() > 0]
    if shapes:
        raise DeviceMixError(f'{function}: CPU tensors {shapes} and the device at {place()}')


def _count_waits(
    function: Any, args: tuple[Any, ...], there: list[Any], here: list[Any], devices: list[str]
) -> None:
    if function in WAITS and there:
        _wait(WAITS[function])
    elif function in INDEXING and there:
        indices = [index for index in args[1] if isinstance(index, torch.Tensor)]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            _wait('boolean index')
        elif any(not isinstance(index, PretendedTensor) for index in indices):
            _wait('index from the CPU')
    elif function is aten._to_copy.default and devices:
        if bool(there) != (devices[0] == NAME):
            _wait('copy to the other device')
    elif function is aten.copy_.default and there and here:
        _wait('copy to the other device')


def _wait(what: str) -> None:
    _TRACE.waits[f'{what} {place()}'] += 1


def place() -> str:
    """The innermost line of the package, of an MM package or of an optimiser in the call stack."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if f'/{PACKAGE}/' in name and 'site-packages' not in name:
            return f'{PACKAGE}/{name.rsplit(f"/{PACKAGE}/", 1)[1]}:{frame.f_lineno}'
        if found := re.search(r'/((?:mm\w+|torch/optim)/[^/].*)', name):
            return f'{found[1]}:{frame.f_lineno}'
        frame = frame.f_back
    return 'elsewhere'


_KEPT: list[torch.library.Library] = []  # a library that is collected takes its functions back


def _register() -> None:
    if _KEPT:
        return

    class Backend(backend_registration._DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.float16, torch.bfloat16]

    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    others = torch.library.Library('_', 'IMPL')
    others.fallback(torch.library.fallthrough_kernel, 'AutocastPrivateUse1')
    library = torch.library.Library('aten', 'IMPL')
    _KEPT.extend([library, others])
    header = (Path(torch.__file__).parent / 'include/ATen/autocast_mode.h').read_text()
    for macro, policy in _POLICIES.items():
        for name, overload in _listed(header, macro):
            operator = getattr(getattr(aten, name, None), overload, None)
            if operator is not None:
                qualified = name if overload == 'default' else f'{name}.{overload}'
                library.impl(qualified, _autocast(operator, policy), 'AutocastPrivateUse1')


def _listed(header: str, macro: str) -> list[tuple[str, str]]:
    """Operators in the body of a macro: lines that end in a backslash, and one more."""
    body = re.search(rf'#define {macro}\(_\)((?:.*\\\n)*.*\n)', header)[1]
    entries = [
        [part.strip() for part in entry.replace('\\', '').split(',')]
        for entry in re.findall(r'_\(([^()]*)\)', body)
    ]
    return [(entry[0], entry[1] if len(entry) > 1 else 'default') for entry in entries]


def _is_cast(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.device.type == NAME
        and value.dtype != torch.float64
    )


def _cast(values: Any, dtype: torch.dtype) -> Any:
    return tree_map_only(torch.Tensor, lambda t: t.to(dtype) if _is_cast(t) else t, values)


def _lower(operator: Any, args: Any, kwargs: Any) -> Any:
    dtype = torch.get_autocast_dtype(NAME)
    return operator(*_cast(args, dtype), **_cast(kwargs, dtype))


def _float32(operator: Any, args: Any, kwargs: Any) -> Any:
    return operator(*_cast(args, torch.float32), **_cast(kwargs, torch.float32))


def _widest(operator: Any, args: Any, kwargs: Any) -> Any:
    dtypes = [value.dtype for value in tree_flatten((args, kwargs))[0] if _is_cast(value)]
    dtype = torch.float32 if torch.float32 in dtypes else torch.get_autocast_dtype(NAME)
    return operator(*_cast(args, dtype), **_cast(kwargs, dtype))


def _float32_result(operator: Any, args: Any, kwargs: Any) -> Any:
    place = [argument.name for argument in operator._schema.arguments].index('dtype')
    if len(args) > place:
        args, kwargs = args[:place], kwargs | {'dtype': args[place]}
    if kwargs.get('dtype') is None and _is_cast(args[0]) and args[0].dtype != torch.float32:
        kwargs = kwargs | {'dtype': torch.float32}
    return operator(*args, **kwargs)


_POLICIES: dict[str, Callable[[Any, Any, Any], Any]] = {
    'AT_FORALL_LOWER_PRECISION_FP': _lower,
    'AT_FORALL_FP32': _float32,
    'AT_FORALL_PROMOTE': _widest,
    'AT_FORALL_FP32_SET_OPT_DTYPE': _float32_result,
}


def _autocast(operator: Any, policy: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(key):
            return policy(operator, args, kwargs)

    return kernel
