"""Every in-place form in, the values and gradients of its function out, in the same memory."""

import numpy as np
import pytest

import engine as torch
from engine import arithmetic
from engine.inplace import FORMS

NUMBER = ("add", "sub", "mul", "div", "pow", "remainder", "fmod", "floor_divide", "copysign")
NUMBER += ("true_divide", "multiply", "subtract", "divide", "float_power", "xlogy", "atan2")
NUMBER += ("arctan2", "hypot", "ldexp", "heaviside", "clamp_min", "clamp_max")
NUMBER += ("eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater")
NUMBER += ("greater_equal", "logical_and", "logical_or", "logical_xor")
OTHERS = {
    **dict.fromkeys(NUMBER, (0.5,)),
    "clamp": (0.4, 0.6),
    "clip": (0.4, 0.6),
    "addcmul": (torch.ones(3), torch.ones(3)),
    "addcdiv": (torch.ones(3), torch.ones(3)),
    "lerp": (torch.ones(3), 0.5),
    "masked_fill": (torch.tensor([True, False, True]), 2.0),
    "cumsum": (0,),
    "cumprod": (0,),
    "renorm": (2, 0, 1.0),
}
TENSORS_ONLY = ("atan2", "arctan2", "heaviside", "hypot", "ldexp")
TENSORS_ONLY += ("logical_and", "logical_or", "logical_xor")
BITS = ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_form(form: str) -> None:
    name = form.removesuffix("_")
    whole = name.startswith("bitwise_")
    data = [1.25, 0.5, 0.75] if name in {"acosh", "arccosh"} else [0.25, 0.5, 0.75]
    x = torch.tensor([1, 2, 5]) if whole else torch.tensor(data)
    x = x.reshape(3, 1) if name == "renorm" else x
    args = (1,) if name in BITS else OTHERS.get(name, ())
    args = tuple(torch.tensor(a) if name in TENSORS_ONLY else a for a in args)
    function = getattr(torch.Tensor, name, None) or getattr(arithmetic, name)
    wanted = function(x, *args)
    memory = x.numpy()
    assert getattr(x, form)(*args) is x
    np.testing.assert_array_equal(memory, wanted.numpy().astype(memory.dtype))


def test_a_form_has_the_gradient_of_its_function() -> None:
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    y = x.clone()
    y.exp_().mul_(3).tanh_()
    y.sum().backward()
    assert x.grad is not None
    grown = 3 * np.exp([0.5, 2.0])
    np.testing.assert_allclose(x.grad.numpy(), grown * (1 - np.tanh(grown) ** 2), rtol=1e-3)


def test_what_does_not_fit_raises() -> None:
    with pytest.raises(RuntimeError):
        torch.ones(2, dtype=torch.int64).exp_()
    with pytest.raises(RuntimeError):
        torch.ones(2).add_(torch.ones(3, 2))
    with pytest.raises(RuntimeError):
        torch.ones(2, requires_grad=True).exp_()


def test_operators_write_in_place() -> None:
    x = torch.tensor([6, 7])
    memory = x.numpy()
    x //= 2
    x %= 2
    x |= 4
    x <<= 1
    x >>= 2
    x ^= 1
    x &= 3
    assert memory.tolist() == [3, 3]


def test_a_compiled_step_writes_the_state() -> None:
    state = torch.tensor([0.25, 0.5])
    step = torch.jit(lambda: state.sqrt_().sigmoid_())
    step()
    first = 1 / (1 + np.exp(-np.sqrt([0.25, 0.5])))
    np.testing.assert_allclose(state.numpy(), first, rtol=1e-6)
    step()
    np.testing.assert_allclose(state.numpy(), 1 / (1 + np.exp(-np.sqrt(first))), rtol=1e-6)
