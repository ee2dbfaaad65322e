"""A layer in, the same layer whose weight is computed before every call out: PyTorch's older form.

``parametrizations`` has the newer one. The names in ``state_dict`` are those of old checkpoints:
``weight_g`` and ``weight_v``; ``weight_orig``, ``weight_u`` and ``weight_v``.
"""

from __future__ import annotations

from typing import Any, TypeVar

from engine.handles import RemovableHandle
from engine.modes import no_grad
from engine.nn.functional.distance import normalize
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.utils.parametrizations import norm_except, output_axis
from engine.products import dot, mv
from engine.sampling import randn
from engine.tensor import Tensor

M = TypeVar("M", bound=Module)


class Recompute:
    """A call before ``forward`` that sets the attribute ``name`` of the module."""

    kind = ""

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.dim = name, dim

    def weight(self, module: Module, moves: bool) -> Tensor:
        """The weight now; ``moves``: its state may follow."""
        raise NotImplementedError

    def __call__(self, module: Module, args: Any, kwargs: Any) -> Any:
        setattr(module, self.name, self.weight(module, module.training))
        return args, kwargs


class WeightNorm(Recompute):
    """``g * v / ||v||``."""

    kind = "weight_norm"

    def weight(self, module: Module, moves: bool) -> Tensor:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        out: Tensor = v * (g / norm_except(v, self.dim))
        return out


class SpectralNorm(Recompute):
    """``orig / sigma``, where ``sigma`` is about the largest singular value."""

    kind = "spectral_norm"

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__(name, dim)
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but "
                f"got n_power_iterations={n_power_iterations}"
            )
        self.n_power_iterations, self.eps = n_power_iterations, eps

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight with axis ``dim`` first and all others as one."""
        if self.dim:
            rest = (axis for axis in range(weight.ndim) if axis != self.dim)
            weight = weight.permute(self.dim, *rest)
        return weight.reshape(weight.shape[0], -1)

    def weight(self, module: Module, moves: bool) -> Tensor:
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = self.matrix(weight)
        if moves:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalize(mv(matrix.t(), u), dim=0, eps=self.eps))
                    u.copy_(normalize(mv(matrix, v), dim=0, eps=self.eps))
        u, v = u.clone(), v.clone()
        out: Tensor = weight / dot(u, mv(matrix, v))
        return out


def _find(module: Module, kind: type[Recompute], name: str) -> int | None:
    for key, hook in module._hooks.before.items():
        if isinstance(hook, kind) and hook.name == name:
            return key
    return None


def _check_free(module: Module, kind: type[Recompute], name: str) -> None:
    if _find(module, kind, name) is not None:
        text = f"Cannot register two {kind.kind} hooks on the same parameter {name}"
        raise RuntimeError(text)


def _take(module: Module, kind: type[Recompute], name: str) -> Recompute:
    """Remove the hook, and return it."""
    key = _find(module, kind, name)
    if key is None:
        raise ValueError(f"{kind.kind} of '{name}' not found in {module}")
    found = module._hooks.before[key]
    RemovableHandle(module._hooks.before, key).remove()
    return found  # type: ignore[return-value]


def _settle(module: Module, name: str, weight: Tensor, parts: tuple[str, ...]) -> None:
    for part in ("", *parts):
        delattr(module, name + part)
    module.register_parameter(name, Parameter(weight.detach()))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Train a weight's norm ``weight_g`` and direction ``weight_v`` apart; the module.

    The norm is over all axes but ``dim``, or over all (None).
    """
    _check_free(module, WeightNorm, name)
    hook = WeightNorm(name, -1 if dim is None else dim)
    weight = getattr(module, name)
    delattr(module, name)
    with no_grad():
        module.register_parameter(f"{name}_g", Parameter(norm_except(weight, hook.dim)))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    setattr(module, name, hook.weight(module, False))
    module._hooks.add(module._hooks.before, hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight a plain parameter again."""
    hook = _take(module, WeightNorm, name)
    with no_grad():
        _settle(module, name, hook.weight(module, False), ("_g", "_v"))
    return module


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a weight by its largest singular value before every call; the module.

    In training every call makes ``n_power_iterations`` steps of power iteration, kept in the
    buffers ``weight_u`` and ``weight_v``.
    """
    axis = output_axis(module) if dim is None else dim
    _check_free(module, SpectralNorm, name)
    hook = SpectralNorm(name, n_power_iterations, axis, eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    sizes = hook.matrix(weight.detach()).shape
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach().clone())
    for part, size in zip(("_u", "_v"), sizes, strict=True):
        start = normalize(randn(size, dtype=weight.dtype), dim=0, eps=eps)
        module.register_buffer(name + part, start)
    module._hooks.add(module._hooks.before, hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight a plain parameter again."""
    hook = _take(module, SpectralNorm, name)
    with no_grad():
        _settle(module, name, hook.weight(module, False), ("_u", "_v", "_orig"))
    return module
