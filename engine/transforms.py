"""A function of tensors in, a function of its derivative out: ``grad`` and ``value_and_grad``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from engine import autograd, pytree
from engine.creation import zeros_like
from engine.errors import DTypeError, message
from engine.locate import user_location
from engine.modes import enable_grad
from engine.shaping import alias
from engine.tensor import Tensor


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """``f(*args) -> (value, gradients)``, with respect to the arguments ``argnums``.

    Arguments may be containers of float tensors; gradients have their structure. ``function``
    returns a scalar, or with ``has_aux`` the pair (scalar, anything). Composes with itself and
    with ``jit``.

    >>> engine.value_and_grad(lambda w: (w * w).sum())(engine.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = pytree.flatten(tuple(args[at] for at in wanted))
        again = any(leaf.requires_grad for leaf in leaves if isinstance(leaf, Tensor))
        with enable_grad():
            inputs = [_input(leaf) for leaf in leaves]
            parts = dict(zip(wanted, pytree.unflatten(structure, inputs), strict=True))
            result = function(*[parts.get(at, arg) for at, arg in enumerate(args)], **kwargs)
            value = result[0] if has_aux else result
            found = autograd.grad(value, inputs, create_graph=again, allow_unused=True)
        full = [zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]
        grads = pytree.unflatten(structure, full)
        shown = value if again else value.detach()
        return (
            (shown, *result[1:]) if has_aux else shown,
            grads[0] if isinstance(argnums, int) else grads,
        )

    return differentiated


def grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """``f(*args) -> gradients``; with ``has_aux`` the pair (gradients, aux). See above.

    >>> engine.grad(engine.grad(lambda x: x**3))(engine.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, *value[1:]) if has_aux else grads

    return differentiated


def _input(leaf: Any) -> Tensor:
    if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
        kind = type(leaf).__name__ if not isinstance(leaf, Tensor) else leaf.dtype
        text = f"derivatives are taken with respect to float tensors, not {kind}"
        raise DTypeError(message(user_location(), text))
    return alias(leaf) if leaf.requires_grad else leaf.detach().requires_grad_()
