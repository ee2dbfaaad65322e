"""Images and kernels in, their correlations out: convolutions and their transposes.

A convolution is a dot of windows (ADR 1): no op of its own, so that its two gradients are dots
again and one tile emitter serves them all. A transposed convolution is the fold of a dot.
"""

from __future__ import annotations

from engine.dispatch import apply, common_dtype
from engine.errors import DTypeError, message
from engine.locate import user_location
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import (
    AXES,
    IntOrSizes,
    Sizes,
    at_least,
    padding_pairs,
    per_axis,
    windows,
)
from engine.products import contract
from engine.tensor import Tensor
from ir.types import I64, is_float


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes | str = 0,
    dilation: IntOrSizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of [n, c, l] with weight [o, c/groups, k] -> [n, o, lo].

    As ``conv2d`` along one axis.
    """
    return _convolution(input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes | str = 0,
    dilation: IntOrSizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of [n, c, h, w] with weight [o, c/groups, kh, kw] -> [n, o, ho, wo].

    ``padding`` is a number of zeros, a pair, ``'same'`` or ``'valid'``. An input without a batch
    axis gives a result without one. Float or int64 tensors, of one dtype. Raises ``EngineError``
    where channels or sizes do not fit.

    >>> F.conv2d(torch.ones(1, 1, 4, 4), torch.ones(2, 1, 3, 3)).shape
    Size([1, 2, 2, 2])
    """
    return _convolution(input, weight, bias, stride, padding, dilation, groups, 2)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes | str = 0,
    dilation: IntOrSizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of [n, c, d, h, w] with weight [o, c/groups, kd, kh, kw].

    As ``conv2d`` along three axes.
    """
    return _convolution(input, weight, bias, stride, padding, dilation, groups, 3)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """``conv1d`` over [l, n, c] with weight [k, c, o] and bias [o] -> [lo, n, o]."""
    if input.ndim != 3 or weight.ndim != 3:
        raise misfit(
            f"conv_tbc takes [l, n, c] and [k, c, o]: input {list(input.shape)}, weight "
            f"{list(weight.shape)}"
        )
    out = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return out.permute(2, 0, 1)


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrSizes,
    padding: IntOrSizes | str,
    dilation: IntOrSizes,
    groups: int,
    rank: int,
) -> Tensor:
    if input.ndim == rank + 1:
        batch = input.unsqueeze(0)
        parts = (weight, bias, stride, padding, dilation, groups, rank)
        return _convolution(batch, *parts).squeeze(0)
    steps, spread = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
    at_least(1, stride=steps, dilation=spread, groups=(groups,))
    _check(f"conv{rank}d", input, weight, bias, rank)
    _check_channels(input, weight, groups, rank)
    kernel = tuple(int(size) for size in weight.shape[2:])
    pads = padding_pairs(padding, kernel, steps, spread)
    if groups > 1:  # split before the windows, so that nothing stands between them and the dot
        n, c, *places = input.shape
        input = input.reshape(n, groups, c // groups, *places)
    view = windows(input, kernel, steps, pads, spread)
    out = _convolve(view, weight, rank) if groups == 1 else _convolve_groups(view, weight, rank)
    return out if bias is None else out + _along_channels(bias, rank)


def _convolve(view: Tensor, weight: Tensor, rank: int) -> Tensor:
    left, right = _range(2 + rank, rank), _range(2, rank)
    out = contract(view, weight, (1, *left), (1, *right))
    return apply("transpose", out, perm=(0, rank + 1, *_range(1, rank)))


def _convolve_groups(view: Tensor, weight: Tensor, rank: int) -> Tensor:
    """Groups are a batch axis of the dot."""
    n, groups, _, *places = tuple(view.shape)[: 3 + rank]
    o = weight.shape[0]
    parts = weight.reshape(groups, o // groups, *weight.shape[1:])
    left, right = _range(3 + rank, rank), _range(3, rank)
    out = contract(view, parts, (2, *left), (2, *right), ((1,), (0,)))
    out = apply("transpose", out, perm=(1, 0, 2 + rank, *_range(2, rank)))
    return out.reshape(n, o, *places)


def _range(first: int, count: int) -> Sizes:
    return tuple(range(first, first + count))


def _along_channels(bias: Tensor, rank: int) -> Tensor:
    return bias.reshape(1, bias.shape[0], *(1,) * rank)


def _check(name: str, input: Tensor, weight: Tensor, bias: Tensor | None, rank: int) -> None:
    """Ranks and dtypes."""
    places = AXES[rank]
    shapes = f"input {list(input.shape)}, weight {list(weight.shape)}"
    if input.ndim != rank + 2 or weight.ndim != rank + 2:
        raise misfit(
            f"{name} takes input [n, c, {places}] or [c, {places}] and weight of {rank + 2} "
            f"axes: {shapes}",
            hint="add the missing axes with unsqueeze",
        )
    given = [input, weight] if bias is None else [input, weight, bias]
    wide = common_dtype(given)
    if any(x.dtype != wide for x in given) or (not is_float(wide) and wide != I64):
        listed = ", ".join(str(x.dtype) for x in given)
        text = f"{name} takes float (or int64) tensors of one dtype, not {listed}"
        raise DTypeError(message(user_location(), text, "convert with .float() or .to(dtype)"))


def _check_channels(input: Tensor, weight: Tensor, groups: int, rank: int) -> None:
    shapes = f"input {list(input.shape)}, weight {list(weight.shape)}, groups {groups}"
    wanted, out = weight.shape[1] * groups, weight.shape[0]
    if input.shape[1] != wanted:
        raise misfit(
            f"Conv{rank}d({wanted} -> {out}) got {input.shape[1]} channels: {shapes}",
            hint="axis 1 of the input holds the channels; check the order of axes, or in_channels",
        )
    if out % groups:
        raise misfit(
            f"conv{rank}d: {out} output channels are not a multiple of the groups: {shapes}",
            hint="choose groups that divide in_channels and out_channels",
        )
