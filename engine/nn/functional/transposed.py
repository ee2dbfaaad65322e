"""Images and kernels in, larger images out: the transposes of convolutions.

Every input place adds its own multiple of the kernel to the output: the fold of a dot (ADR 1),
the same form as the data gradient of a convolution.
"""

from __future__ import annotations

from engine.dispatch import apply, cast
from engine.nn.functional.checks import misfit
from engine.nn.functional.convolution import _along_channels, _check, _range
from engine.nn.functional.geometry import IntOrSizes, Sizes, at_least, cropped, per_axis, span
from engine.products import contract
from engine.tensor import Tensor
from ir.types import F64, I64


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    output_padding: IntOrSizes = 0,
    groups: int = 1,
    dilation: IntOrSizes = 1,
) -> Tensor:
    """The transpose of ``conv1d``: [n, c, l] with weight [c, o/groups, k] -> [n, o, lo]."""
    options = (stride, padding, output_padding, groups, dilation)
    return _transposed(input, weight, bias, *options, rank=1)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    output_padding: IntOrSizes = 0,
    groups: int = 1,
    dilation: IntOrSizes = 1,
) -> Tensor:
    """The transpose of ``conv2d``: [n, c, h, w] with weight [c, o/groups, kh, kw] -> [n, o, ...].

    An axis of size h becomes ``(h - 1) * stride - 2 * padding + dilation * (k - 1) +
    output_padding + 1``. An input without a batch axis gives a result without one.

    >>> F.conv_transpose2d(torch.ones(1, 3, 4, 4), torch.ones(3, 2, 2, 2), stride=2).shape
    Size([1, 2, 8, 8])
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _transposed(input, weight, bias, *options, rank=2)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    output_padding: IntOrSizes = 0,
    groups: int = 1,
    dilation: IntOrSizes = 1,
) -> Tensor:
    """The transpose of ``conv3d``: [n, c, d, h, w] with weight [c, o/groups, kd, kh, kw]."""
    options = (stride, padding, output_padding, groups, dilation)
    return _transposed(input, weight, bias, *options, rank=3)


def _transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrSizes,
    padding: IntOrSizes,
    output_padding: IntOrSizes,
    groups: int,
    dilation: IntOrSizes,
    rank: int,
) -> Tensor:
    if input.ndim == rank + 1:
        batch = input.unsqueeze(0)
        options = (stride, padding, output_padding, groups, dilation, rank)
        return _transposed(batch, weight, bias, *options).squeeze(0)
    steps, spread = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
    edge, more = per_axis(padding, rank, "padding"), per_axis(output_padding, rank)
    at_least(1, stride=steps, dilation=spread, groups=(groups,))
    at_least(0, padding=edge, output_padding=more)
    _check(f"conv_transpose{rank}d", input, weight, bias, rank)
    _check_fit(input, weight, groups, more, [max(s, d) for s, d in zip(steps, spread, strict=True)])
    parts = _spread(input, weight, groups, rank)
    kernel = tuple(int(size) for size in weight.shape[2:])
    reach = span(kernel, spread)
    own = [int(size) for size in input.shape[2:]]
    full = tuple((n - 1) * s + r for n, s, r in zip(own, steps, reach, strict=True))
    axes = _range(parts.ndim - 2 * rank, rank)
    whole = cast(parts, F64) if input.dtype == I64 else parts  # exact up to 2**53
    out = apply("fold", whole, axes=axes, size=kernel, stride=steps, dilation=spread, extent=full)
    out = cast(out, input.dtype)
    sizes = tuple(f + m - 2 * p for f, m, p in zip(full, more, edge, strict=True))
    at_least(1, output_size=sizes)
    out = cropped(out, edge, sizes)
    if groups > 1:
        out = out.reshape(input.shape[0], weight.shape[1] * groups, *sizes)
    return out if bias is None else out + _along_channels(bias, rank)


def _spread(input: Tensor, weight: Tensor, groups: int, rank: int) -> Tensor:
    """What each place adds: [n, (groups,) o, *places, *kernel]."""
    if groups == 1:
        out = contract(input, weight, (1,), (0,))
        perm = (0, rank + 1, *_range(1, rank), *_range(rank + 2, rank))
        return apply("transpose", out, perm=perm)
    n, c, *places = input.shape
    split = input.reshape(n, groups, c // groups, *places)
    parts = weight.reshape(groups, c // groups, *weight.shape[1:])
    out = contract(split, parts, (2,), (1,), ((1,), (0,)))
    perm = (1, 0, rank + 2, *_range(2, rank), *_range(rank + 3, rank))
    return apply("transpose", out, perm=perm)


def _check_fit(input: Tensor, weight: Tensor, groups: int, more: Sizes, limit: list[int]) -> None:
    shapes = f"input {list(input.shape)}, weight {list(weight.shape)}, groups {groups}"
    if input.shape[1] != weight.shape[0] or weight.shape[0] % groups:
        raise misfit(
            f"a transpose of {weight.shape[0]} channels got {input.shape[1]}: {shapes}",
            hint="axis 1 of the input and axis 0 of the weight hold the channels, in whole groups",
        )
    if any(m >= top for m, top in zip(more, limit, strict=True)):
        raise misfit(
            f"output_padding {list(more)} must be smaller than stride or dilation ({limit})",
            hint="it only chooses among the sizes that a stride maps to one",
        )
