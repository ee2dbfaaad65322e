"""Parameters and a closure that gives loss and gradients in, quasi-Newton steps out.

How often the closure runs depends on its losses, so that the loop is Python's. The closure itself
may call a compiled step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.creation import zeros
from engine.errors import Unsupported, message
from engine.locate import user_location
from engine.modes import enable_grad, modes, no_grad
from engine.optim.line_search import Trial, strong_wolfe
from engine.optim.optimizer import Optimizer, Params, Rate, Slots
from engine.shaping import cat
from engine.tensor import Tensor


class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu and Nocedal, 1989); one parameter group, eager only.

    ``line_search_fn`` is None (every step has length ``lr``) or "strong_wolfe".

    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = criterion(model(x), y)
    ...     loss.backward()
    ...     return loss
    >>> opt.step(closure)
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def _move(self, closure: Callable[[], Any] | None = None) -> Any:
        if modes.trace is not None:
            hint = "call it outside; its closure may call a compiled step"
            raise Unsupported(message(user_location(), "LBFGS.step() inside jit", hint))
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure")
        with no_grad():
            return self._iterate(enable_grad()(closure))

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group, state = self.param_groups[0], self.state[self.param_groups[0]["params"][0]]
        first = closure()
        loss, grad, made = float(first), self._flat_grad(), 1
        state.update(func_evals=state.get("func_evals", 0) + 1, n_iter=state.get("n_iter", 0))
        if _largest(grad) <= group["tolerance_grad"]:
            return first
        for turn in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, grad, group["history_size"])
            before = Trial(0.0, loss, grad, float(grad.dot(direction)))
            rate = float(group["lr"])
            if state["n_iter"] == 1:
                rate *= min(1.0, 1.0 / float(grad.abs().sum()))
            state.update(d=direction, t=rate, prev_flat_grad=grad, prev_loss=loss)
            if before.slope > -group["tolerance_change"]:
                break
            last = turn == group["max_iter"]
            after, more = self._go(closure, before, rate, group["max_eval"] - made, last)
            loss, grad, made = after.loss, after.grad, made + more
            state["t"], state["func_evals"] = after.step, state["func_evals"] + more
            if last or made >= group["max_eval"] or _is_done(before, after, direction, group):
                break
        return first

    def _go(
        self, closure: Callable[[], Any], before: Trial, rate: float, most: int, last: bool
    ) -> tuple[Trial, int]:
        """Move by ``rate``, or as far as a line search says; how often the closure ran."""
        group = self.param_groups[0]
        params = group["params"]
        direction = self.state[params[0]]["d"]
        if group["line_search_fn"] is None:
            self._add(rate, direction)
            if last:  # nobody asks for the loss there
                return Trial(rate, before.loss, before.grad, before.slope), 0
            return Trial(rate, float(closure()), self._flat_grad(), 0.0), 1
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        origin = [param.clone() for param in params]

        def evaluate(step: float) -> Trial:
            self._add(step, direction)
            loss, grad = float(closure()), self._flat_grad()
            for param, held in zip(params, origin, strict=True):
                param.copy_(held)
            return Trial(step, loss, grad, float(grad.dot(direction)))

        width = group["tolerance_change"] / _largest(direction)
        after, made = strong_wolfe(evaluate, before, rate, width, most)
        self._add(after.step, direction)
        return after, made

    def _flat_grad(self) -> Tensor:
        parts = []
        for param in self.param_groups[0]["params"]:
            grad = param.grad
            known = zeros(param.numel(), dtype=param.dtype) if grad is None else grad.detach()
            parts.append(known.reshape(-1))
        return cat(parts).clone()

    def _add(self, step: float, direction: Tensor) -> None:
        at = 0
        for param in self.param_groups[0]["params"]:
            end = at + param.numel()
            param.add_(direction[at:end].reshape(param.shape), alpha=step)
            at = end


def _direction(state: Slots, grad: Tensor, history_size: int) -> Tensor:
    """Note how the gradient changed over the last step; minus the inverse Hessian times it."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return -grad
    changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
    change, step = grad - state["prev_flat_grad"], state["d"] * float(state["t"])
    along = float(change.dot(step))
    if along > 1e-10:
        if len(changes) == history_size:
            for known in (changes, steps, ro):
                known.pop(0)
        changes.append(change)
        steps.append(step)
        ro.append(1.0 / along)
        state["H_diag"] = along / float(change.dot(change))
    shares: list[float | None] = state.setdefault("al", [None] * history_size)
    direction = -grad
    for i in reversed(range(len(changes))):
        share = shares[i] = float(steps[i].dot(direction)) * float(ro[i])
        direction.sub_(changes[i] * share)
    direction = direction * float(state["H_diag"])
    for i in range(len(changes)):
        back = float(changes[i].dot(direction)) * float(ro[i])
        direction.add_(steps[i] * (float(shares[i] or 0.0) - back))
    return direction


def _is_done(before: Trial, after: Trial, direction: Tensor, group: dict[str, Any]) -> bool:
    """Whether the gradient is small, or the step or the loss have all but stopped changing."""
    least = group["tolerance_change"]
    flat = _largest(after.grad) <= group["tolerance_grad"]
    still = _largest(direction) * abs(after.step) <= least
    return bool(flat or still or abs(after.loss - before.loss) < least)


def _largest(x: Tensor) -> float:
    return float(x.abs().max())
