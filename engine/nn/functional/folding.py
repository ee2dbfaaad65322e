"""Images in, their windows as columns out, and the sum of such columns back to an image."""

from __future__ import annotations

from engine.dispatch import apply
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import (
    IntOrSizes,
    Sizes,
    at_least,
    cropped,
    per_axis,
    span,
    windows,
)
from engine.tensor import Tensor


def unfold(
    input: Tensor,
    kernel_size: IntOrSizes,
    dilation: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    stride: IntOrSizes = 1,
) -> Tensor:
    """Every window as a column: [n, c, h, w] (or [c, h, w]) -> [n, c * kh * kw, windows]."""
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    if input.ndim != 4 or any(size == 0 for size in input.shape[1:]):
        raise misfit(f"unfold takes [n, c, h, w] or [c, h, w], not {list(input.shape)}")
    kernel, steps, edge, spread = _geometry(kernel_size, stride, padding, dilation)
    view = windows(input, kernel, steps, tuple((e, e) for e in edge), spread)
    n, c, h, w, kh, kw = view.shape
    return view.permute(0, 1, 4, 5, 2, 3).reshape(n, c * kh * kw, h * w)


def fold(
    input: Tensor,
    output_size: IntOrSizes,
    kernel_size: IntOrSizes,
    dilation: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    stride: IntOrSizes = 1,
) -> Tensor:
    """The sum of overlapping windows: [n, c * kh * kw, windows] -> [n, c, *output_size].

    Float tensors only; the transpose of ``unfold``. An input without a batch axis gives a result
    without one.
    """
    if input.ndim == 2:
        batch = input.unsqueeze(0)
        return fold(batch, output_size, kernel_size, dilation, padding, stride).squeeze(0)
    kernel, steps, edge, spread = _geometry(kernel_size, stride, padding, dilation)
    sizes = per_axis(output_size, 2, "output_size")
    at_least(1, output_size=sizes)
    padded = tuple(s + 2 * e for s, e in zip(sizes, edge, strict=True))
    reach = span(kernel, spread)
    count = tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, steps, strict=True))
    kh, kw = kernel
    if input.ndim != 3 or input.shape[1] % (kh * kw) or input.shape[2] != count[0] * count[1]:
        raise misfit(
            f"fold takes [n, c * {kh} * {kw}, {count[0]} * {count[1]}] for an image of "
            f"{list(sizes)}, not {list(input.shape)}"
        )
    n, columns, _ = input.shape
    parts = input.reshape(n, columns // (kh * kw), kh, kw, *count).permute(0, 1, 4, 5, 2, 3)
    whole = apply(
        "fold", parts, axes=(2, 3), size=kernel, stride=steps, dilation=spread, extent=padded
    )
    return cropped(whole, edge, sizes)


def _geometry(
    kernel_size: IntOrSizes, stride: IntOrSizes, padding: IntOrSizes, dilation: IntOrSizes
) -> tuple[Sizes, Sizes, Sizes, Sizes]:
    kernel, steps = per_axis(kernel_size, 2, "kernel_size"), per_axis(stride, 2, "stride")
    edge, spread = per_axis(padding, 2, "padding"), per_axis(dilation, 2, "dilation")
    at_least(1, kernel_size=kernel, stride=steps, dilation=spread)
    at_least(0, padding=edge)
    return kernel, steps, edge, spread
