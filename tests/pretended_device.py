"""A device that is not there: tensors that say they lie on a GPU, and compute on the CPU.

What a GPU refuses is refused: an operation whose tensors lie on different devices, indexing by a tensor of
another device, reading a tensor into NumPy. Unlike `FakeTensorMode`, values are real, so that what depends on
them (which queries are kept, how many tokens a caption has) takes its course. Every time that the host waits
for a value of the device is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class _Backend:
    """What PyTorch asks of a device's module."""

    is_available = staticmethod(lambda: False)
    is_initialized = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16])
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)
    get_rng_state = staticmethod(lambda index: torch.empty(0, dtype=torch.uint8))
    set_rng_state = staticmethod(lambda state, index: None)


class _Hooks(torch._C._acc.PrivateUse1Hooks):
    """What PyTorch's C++ asks: whoever looks for an accelerator by himself finds none."""

    is_available = staticmethod(lambda: False)
    is_built = staticmethod(lambda: True)
    has_primary_context = staticmethod(lambda index: True)


_setup_privateuseone_for_python_backend("pretended", backend_module=_Backend(), hook=_Hooks())
DEVICE = torch.device("pretended", 0)
_WAITS = {"aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.bincount", "aten._unique2"}
_Module = TypeVar("_Module", bound=nn.Module)


class Pretended(Tensor):
    """A tensor that says it lies on the device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretended:
        found = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        found.inner = inner
        return found

    def __init__(self, inner: Tensor) -> None:
        pass

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Pretended({self.inner!r})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Check where an operation's tensors lie, and compute."""
    kwargs = dict(kwargs)
    name = func._schema.name.replace("::", ".")
    to_host = name == "aten._to_copy" and str(kwargs.get("device")) == "cpu"
    if kwargs.get("device") is not None:
        kwargs["device"] = torch.device("cpu")
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    here = [tuple(x.shape) for x in tensors if not isinstance(x, Pretended) and x.dim() > 0]
    moves = name in ("aten.copy_", "aten._to_copy")
    if here and not moves:
        raise RuntimeError(f"{name}: a tensor of shape {here[0]} is on the CPU, the others are not")
    masks = name.startswith(("aten.index", "aten._index_put")) and any(
        x.dtype in (torch.bool, torch.uint8) for x in _indices(args)
    )
    if name in _WAITS or masks or to_host or here:
        _waits.append(name)
    out = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if to_host:
        return out
    out = tree_map_only(Tensor, Pretended, out)
    return return_and_correct_aliasing(func, args, kwargs, out)


def _indices(args: tuple[Any, ...]) -> list[Tensor]:
    return [
        x for x in (args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()) if x is not None
    ]


def _inner(x: Any) -> Any:
    return x.inner if isinstance(x, Pretended) else x


_waits: list[str] = []


class _OnDevice(TorchFunctionMode):
    """Makes and moves tensors where a real device would be asked to."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return _attend(*args, **kwargs)
        if func is Tensor.cpu:
            return self._move(args[0], torch.device("cpu"))
        if func is Tensor.tolist and isinstance(args[0], Pretended):
            _waits.append("tolist")
            return args[0].inner.tolist()
        if func is Tensor.contiguous and isinstance(args[0], Pretended):  # its C++ asks for CUDA itself
            order = kwargs.get("memory_format", torch.contiguous_format)
            is_so = args[0].is_contiguous(memory_format=order)
            return args[0] if is_so else args[0].clone(memory_format=order)
        if func is Tensor.to:
            return self._to(*args, **kwargs)
        if func is Tensor.new_tensor and isinstance(args[0], Pretended):
            _waits.append("new_tensor")
            return Pretended(torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)))
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == DEVICE.type:
            if func in (torch.tensor, torch.as_tensor):
                _waits.append("tensor")
            made = func(*args, **{**kwargs, "device": "cpu"})
            return made if isinstance(made, Pretended) else Pretended(made)
        return func(*args, **kwargs)

    def _to(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        dtype, device = kwargs.get("dtype"), kwargs.get("device")
        for arg in args:
            if isinstance(arg, torch.dtype):
                dtype = arg
            elif isinstance(arg, (torch.device, str)):
                device = torch.device(arg)
            elif isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
        waits = not kwargs.get("non_blocking", False)
        moved = x if device is None else self._move(x, torch.device(device), waits=waits)
        return moved if dtype is None or dtype == moved.dtype else moved.type(dtype)

    def _move(self, x: Tensor, device: torch.device, *, waits: bool = True) -> Tensor:
        if device.type == x.device.type:
            return x
        if device.type == DEVICE.type:
            if waits:
                _waits.append("to")
            return Pretended(x.detach())
        _waits.append("cpu")
        return x.detach().inner


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if is_causal:
        scores = scores.masked_fill(~torch.ones_like(scores, dtype=torch.bool).tril(), -torch.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    return scores.softmax(-1) @ value


class _Compute(TorchDispatchMode):
    """Catches the tensors that operations make on the device by themselves."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        device = (kwargs or {}).get("device")
        on_device = device is not None and torch.device(device).type == DEVICE.type
        if on_device or any(isinstance(x, Pretended) for x in tree_flatten((args, kwargs))[0]):
            return _run(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


@contextmanager
def pretended_device() -> Iterator[list[str]]:
    """Work on `DEVICE` as if it were there; gives the list of the waits so far."""
    _waits.clear()
    with _OnDevice(), _Compute():
        yield _waits


def to_device(module: _Module) -> _Module:
    """A module with its parameters and buffers on the device."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None:
                part._parameters[name] = nn.Parameter(Pretended(parameter.data), parameter.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = Pretended(buffer)
    return module
