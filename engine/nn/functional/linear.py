"""Features and weights in, their sums of products out: the linear layers.

A convolution is a dot of windows (ADR 1): no op of its own, so that its two gradients are dots
again and one tile emitter serves them all.
"""

from __future__ import annotations

from engine.dispatch import apply
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import IntOrPair, padding_pairs, pair, windows
from engine.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: [..., in] with weight [out, in], bias [out] -> [..., out].

    Raises ``EngineError`` where the width of ``input`` is not the weight's.

    >>> F.linear(torch.ones(2, 3), torch.ones(4, 3)).shape
    Size([2, 4])
    """
    if input.ndim == 0 or input.shape[-1] != weight.shape[1]:
        width, out = weight.shape[1], weight.shape[0]
        got = input.shape[-1] if input.ndim else "a scalar without"
        raise misfit(
            f"Linear({width} -> {out}) got {got} features: input {list(input.shape)}, "
            f"weight {list(weight.shape)}",
            hint=f"the last axis must hold {width} features; reshape it, or change in_features",
        )
    last = input.ndim - 1
    out = apply("dot", input, weight, contract=((last,), (1,)), batch=((), ()))
    return out if bias is None else out + bias


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of [n, c, h, w] with weight [o, c/groups, kh, kw] -> [n, o, ho, wo].

    ``padding`` is a number of zeros, a pair, ``'same'`` or ``'valid'``. An input without a batch
    axis gives a result without one. Raises ``EngineError`` where channels or sizes do not fit.
    """
    if input.ndim == 3:
        whole = conv2d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups)
        return whole.squeeze(0)
    _check_channels(input, weight, groups)
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    steps, spread = pair(stride), pair(dilation)
    if groups > 1:  # split before the windows, so that nothing stands between them and the dot
        n, c, h, w = input.shape
        input = input.reshape(n, groups, c // groups, h, w)
    view = windows(input, kernel, steps, padding_pairs(padding, kernel, steps, spread), spread)
    out = _convolve(view, weight) if groups == 1 else _convolve_groups(view, weight)
    return out if bias is None else out + bias.reshape(1, bias.shape[0], 1, 1)


def _convolve(view: Tensor, weight: Tensor) -> Tensor:
    out = apply("dot", view, weight, contract=((1, 4, 5), (1, 2, 3)), batch=((), ()))
    return apply("transpose", out, perm=(0, 3, 1, 2))


def _convolve_groups(view: Tensor, weight: Tensor) -> Tensor:
    """Groups are a batch axis of the dot."""
    n, groups, _, ho, wo, _, _ = view.shape
    o = weight.shape[0]
    parts = weight.reshape(groups, o // groups, *weight.shape[1:])
    out = apply("dot", view, parts, contract=((2, 5, 6), (2, 3, 4)), batch=((1,), (0,)))
    out = apply("transpose", out, perm=(1, 0, 4, 2, 3))
    return out.reshape(n, o, ho, wo)


def _check_channels(input: Tensor, weight: Tensor, groups: int) -> None:
    shapes = f"input {list(input.shape)}, weight {list(weight.shape)}, groups {groups}"
    if input.ndim != 4 or weight.ndim != 4:
        raise misfit(
            f"conv2d takes input [n, c, h, w] or [c, h, w] and weight [o, c, kh, kw]: {shapes}",
            hint="add the missing axes with unsqueeze",
        )
    wanted = weight.shape[1] * groups
    if input.shape[1] != wanted:
        raise misfit(
            f"Conv2d({wanted} -> {weight.shape[0]}) got {input.shape[1]} channels: {shapes}",
            hint="axis 1 of the input holds the channels; check the order of axes, or in_channels",
        )
    if weight.shape[0] % groups:
        raise misfit(
            f"conv2d: {weight.shape[0]} output channels are not a multiple of the groups: {shapes}",
            hint="choose groups that divide in_channels and out_channels",
        )
