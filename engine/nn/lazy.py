"""Layers without their input's size in, the plain layers after the first call out."""

from __future__ import annotations

from typing import Any

from engine.creation import tensor
from engine.dtypes import int64
from engine.modes import modes, no_grad
from engine.nn.convolution import Conv1d, Conv2d, Conv3d, Convolution
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import IntOrSizes
from engine.nn.instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from engine.nn.linear import Linear
from engine.nn.module import Module
from engine.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, Statistics
from engine.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from engine.nn.transposed import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from engine.tensor import Tensor
from ir.dims import evaluate


class LazyModuleMixin(Module):
    """A module whose first call, or whose loaded state, tells the shape of its parameters.

    The first call makes them (outside the step, where it is inside one) and turns the module into
    ``cls_to_become``. Make an optimizer after that call.
    """

    cls_to_become: type[Module]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self.register_load_state_dict_pre_hook(_take_shapes)
        self._initialize_hook = self.register_forward_pre_hook(_become_plain, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give every parameter and buffer its shape and first values, from the inputs."""
        name = type(self).__name__
        raise NotImplementedError(f"initialize_parameters is not implemented for {name}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        return any(is_lazy(x) for x in (*self._parameters.values(), *self._buffers.values()))

    def _materialize(self, **shapes: tuple[int, ...]) -> None:
        for name, shape in shapes.items():
            member = getattr(self, name)
            if is_lazy(member):
                member.materialize(shape)


def _take_shapes(module: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Before loading: members without a shape get that of what is loaded."""
    for name, member in [*module._parameters.items(), *module._buffers.items()]:
        given = state.get(prefix + name)
        if is_lazy(member) and given is not None and not is_lazy(given):
            member.materialize(given.shape)


def _become_plain(module: Any, args: Any, kwargs: Any) -> None:
    outer, modes.trace = modes.trace, None
    try:
        with no_grad():
            module.initialize_parameters(*args, **kwargs)
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
        for name in ("_initialize_hook", "_load_hook"):
            getattr(module, name).remove()
            delattr(module, name)
        module.__class__ = module.cls_to_become
    finally:
        modes.trace = outer


def _size(input: Tensor, axis: int) -> int:
    """A size of the first input, which is known even inside a trace."""
    type_, value = input._cell.type, input._value
    size: Any = value.type.shape[axis] if type_ is None and value else None
    return evaluate(type_.shape[axis], {}) if type_ is not None else int(size)


class LazyLinear(LazyModuleMixin, Linear):
    """``Linear`` whose ``in_features`` is the last size of its first input."""

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self.weight = UninitializedParameter(dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values, if there are shapes."""
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        size = _size(input, -1)
        if self.has_uninitialized_params():
            self.in_features = size
            self._materialize(weight=(self.out_features, size), bias=(self.out_features,))
            self.reset_parameters()
        if self.in_features == 0:
            if size != self.weight.shape[-1]:
                raise AssertionError(
                    f"The in_features inferred from input: {size} is not equal to in_features "
                    f"from self.weight: {self.weight.shape[-1]}"
                )
            self.in_features = size


class _LazyConvolution(LazyModuleMixin, Convolution):
    def _wait(self, out_channels: int, bias: bool, dtype: Any) -> None:
        self.weight = UninitializedParameter(dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values, if there are shapes."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        if not self.has_uninitialized_params():
            return
        if input.ndim not in (self.rank + 1, self.rank + 2):
            raise misfit(
                f"Expected {self.rank + 1}D (unbatched) or {self.rank + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {list(input.shape)}"
            )
        channels = self.in_channels = _size(input, input.ndim - self.rank - 1)
        if channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        sizes = (self.out_channels, channels // self.groups)
        if self.transposed:
            sizes = (channels, self.out_channels // self.groups)
        self._materialize(weight=(*sizes, *self.kernel_size), bias=(self.out_channels,))
        self.reset_parameters()


class _LazyConv(_LazyConvolution):
    def __init__(
        self,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes = 1,
        padding: IntOrSizes | str = 0,
        dilation: IntOrSizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (stride, padding, dilation, groups, False, padding_mode)
        super().__init__(0, 0, kernel_size, *options)
        self._wait(out_channels, bias, dtype)


class _LazyConvTranspose(_LazyConvolution):
    def __init__(
        self,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        output_padding: IntOrSizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrSizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (stride, padding, output_padding, groups, False, dilation, padding_mode)
        super().__init__(0, 0, kernel_size, *options)
        self._wait(out_channels, bias, dtype)


class _LazyNorm(LazyModuleMixin, Statistics):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, bias=False)
        self.affine, self.track_running_stats = affine, track_running_stats
        if affine:
            self.weight = UninitializedParameter(dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(dtype=dtype)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(dtype=dtype)
            self.running_var = UninitializedBuffer(dtype=dtype)
            self.num_batches_tracked = tensor(0, dtype=int64)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, statistics forgotten, if there are shapes."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        size = _size(input, 1)
        fresh = self.has_uninitialized_params()
        self.num_features = size
        if fresh:
            names = ("weight", "bias", "running_mean", "running_var")
            self._materialize(**dict.fromkeys(names, (size,)))
            self.reset_parameters()


class LazyConv1d(_LazyConv, Conv1d):
    """``Conv1d`` whose ``in_channels`` come from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """``Conv2d`` whose ``in_channels`` come from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """``Conv3d`` whose ``in_channels`` come from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """``ConvTranspose1d`` whose ``in_channels`` come from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """``ConvTranspose2d`` whose ``in_channels`` come from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """``ConvTranspose3d`` whose ``in_channels`` come from its first input."""

    cls_to_become = ConvTranspose3d


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """``BatchNorm1d`` whose ``num_features`` come from its first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """``BatchNorm2d`` whose ``num_features`` come from its first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """``BatchNorm3d`` whose ``num_features`` come from its first input."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """``InstanceNorm1d`` (affine, with statistics) with features from its first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """``InstanceNorm2d`` (affine, with statistics) with features from its first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """``InstanceNorm3d`` (affine, with statistics) with features from its first input."""

    cls_to_become = InstanceNorm3d
