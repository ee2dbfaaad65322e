"""Log-probabilities over time and label sequences in, the CTC loss out.

The forward recursion over the labels with blanks between (Graves et al., 2006), in logarithms.
Its derivative is what differentiating the recursion gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from engine.arithmetic import exp, log, maximum, where
from engine.creation import arange, full, tensor, zeros
from engine.dispatch import apply
from engine.loops import scan
from engine.modes import modes
from engine.nn.functional.checks import misfit
from engine.nn.functional.reduction import reduced
from engine.shaping import cat
from engine.tensor import Tensor


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the log-likelihood of ``targets``: log_probs [t, n, c] (or [t, c]) -> [n] ([]).

    ``targets`` is [n, s], or all labels one after another. 'mean' divides by the target's length
    first. As in PyTorch the gradient is the one that belongs before a ``log_softmax``. A label
    sequence that does not fit is infinity, or with ``zero_infinity`` 0; its gradient is 0.
    """
    if log_probs.ndim == 2:
        x, labels = log_probs.unsqueeze(1), targets.reshape(1, -1)
        ends = _lengths(input_lengths).reshape(1), _lengths(target_lengths).reshape(1)
        single = ctc_loss(x, labels, *ends, blank, reduction, zero_infinity)
        return single.squeeze(0) if reduction == "none" else single
    steps, sizes = _lengths(input_lengths), _lengths(target_lengths)
    _check(log_probs, targets, steps, sizes, blank)
    labels = _padded(targets, sizes)
    losses = _negative_likelihood(log_probs, labels, steps, sizes, blank)
    losses = losses + _before_softmax(log_probs, steps, losses)
    if zero_infinity:
        losses = where(losses == math.inf, 0.0, losses)
    if reduction == "mean":
        losses = losses / sizes.clamp(1).to(losses.dtype)
    return reduced(losses, reduction)


def _negative_likelihood(
    log_probs: Tensor, labels: Tensor, steps: Tensor, sizes: Tensor, blank: int
) -> Tensor:
    time, n, _ = log_probs.shape
    path = _with_blanks(labels, blank)
    length = path.shape[1]
    wide = path.unsqueeze(0).expand(time, n, length)
    emitted = apply("take_along", log_probs, wide, axis=2)  # [t, n, 2 s + 1]
    place = arange(length)
    start = (place == 0) | ((place == 1) & (sizes > 0).unsqueeze(-1))
    may_skip = cat([full((n, 2), False), (path[:, 2:] != path[:, :-2]) & (path[:, 2:] != blank)], 1)

    def step(alpha: Tensor, at: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
        new, inside = at
        skipped = where(may_skip[:, :length], _moved(alpha, 2), -math.inf)
        after = _log_sum(alpha, _moved(alpha, 1), skipped) + new
        return where(inside, after, alpha), None

    alpha = where(start, emitted[0], -math.inf)
    if time != 1:
        inside = (arange(1, time).unsqueeze(-1) < steps).unsqueeze(-1)  # [t - 1, n, 1]
        alpha, _ = scan(step, alpha, (emitted[1:], inside))
    last = 2 * sizes.unsqueeze(-1)
    ends = (place == last) | (place == last - 1)
    return -_log_sum_along(where(ends, alpha, -math.inf))


def _before_softmax(log_probs: Tensor, steps: Tensor, like: Tensor) -> Tensor:
    """Zero, with the gradient by which PyTorch's differs from the recursion's own."""
    inside = arange(log_probs.shape[0]).unsqueeze(-1) < steps
    total = where(inside.unsqueeze(-1), exp(log_probs), 0.0).sum((0, 2))
    return where(like == math.inf, 0.0, total - total.detach())


def _moved(alpha: Tensor, by: int) -> Tensor:
    """Every value ``by`` places further on, minus infinity in front."""
    none = (0, 0)
    wide = apply("pad", alpha, low=(0, by), high=none, interior=none, value=-math.inf)
    return wide[:, : alpha.shape[1]]


def _log_sum(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    peak = maximum(maximum(a.detach(), b.detach()), c.detach())
    peak = where(peak == -math.inf, 0.0, peak)
    return _safe_log(exp(a - peak) + exp(b - peak) + exp(c - peak)) + peak


def _log_sum_along(x: Tensor) -> Tensor:
    peak = x.detach().amax(1)
    peak = where(peak == -math.inf, 0.0, peak)
    return _safe_log(exp(x - peak.unsqueeze(-1)).sum(1)) + peak


def _safe_log(x: Tensor) -> Tensor:
    """The logarithm, with gradient 0 at 0."""
    zero = x == 0
    return where(zero, -math.inf, log(where(zero, 1.0, x)))


def _with_blanks(labels: Tensor, blank: int) -> Tensor:
    """[n, s] as [n, 2 s + 1]: a blank before, between and after the labels."""
    if labels.shape[1] == 0:
        return full((labels.shape[0], 1), blank, dtype=labels.dtype)
    one = (0, 1)
    return apply("pad", labels, low=one, high=one, interior=one, value=blank)


def _padded(targets: Tensor, sizes: Tensor) -> Tensor:
    """Labels [n, s], also from one row of all of them."""
    if targets.ndim == 2:
        return targets.long()
    known = modes.trace is None and sizes.numel()
    longest = int(sizes.cpu().numpy().max()) if known else targets.shape[0]
    total = targets.shape[0]
    if longest == 0 or total == 0:
        return zeros(sizes.shape[0], 0, dtype="int64")
    starts = (sizes.cumsum(0) - sizes).unsqueeze(-1)
    places = (starts + arange(longest)).clamp(0, total - 1)
    return apply("take", targets.long(), places, axis=0)


def _lengths(given: Any) -> Tensor:
    if isinstance(given, Tensor):
        return given.long()
    listed: Sequence[int] = [given] if isinstance(given, int) else list(given)
    return tensor(listed, dtype="int64")


def _check(log_probs: Tensor, targets: Tensor, steps: Tensor, sizes: Tensor, blank: int) -> None:
    time, n, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise misfit(f"ctc_loss: blank {blank} is none of {classes} classes")
    if steps.shape[0] != n or sizes.shape[0] != n:
        raise misfit(f"ctc_loss: lengths {steps.shape[0]} and {sizes.shape[0]} for a batch of {n}")
    if targets.dtype.kind not in "iu":
        raise misfit(f"ctc_loss takes integer targets, not {targets.dtype}", "call .long()")
    if modes.trace is not None:
        return
    if (steps.cpu().numpy() > time).any() or (steps.cpu().numpy() < 0).any():
        raise misfit(f"ctc_loss: input_lengths outside 0 to {time}")
    if targets.ndim == 2 and (sizes.cpu().numpy() > targets.shape[1]).any():
        raise misfit(f"ctc_loss: target_lengths above {targets.shape[1]}")
    if targets.ndim == 1 and int(sizes.cpu().numpy().sum()) != targets.shape[0]:
        raise misfit("ctc_loss: target_lengths do not add up to the targets")
