"""Queries, keys and values in, PyTorch's attention and its gradients out, compiled or not."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

# heads, queries, keys, width, width of the values
SHAPES = [
    ((2, 2), 1, 40, 8, 8),
    ((2, 2), 7, 7, 32, 32),
    ((4, 4), 64, 64, 32, 32),
    ((4, 2), 100, 133, 40, 24),
    ((4,), 1024, 1024, 8, 8),
    ((2, 2), 197, 300, 64, 64),
]


def ours(options: dict[str, Any], by_hand: bool) -> Any:
    def step(q: Any, k: Any, v: Any, g: Any, mask: Any) -> Any:
        if by_hand:
            out = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **options)
        return out, *engine.autograd.grad((out * out * g).sum(), [q, k, v])

    return step


def check(
    shape: Any, options: dict[str, Any], mask: Any = None, by_hand: bool = False, jit: bool = True
) -> Any:
    heads, queries, keys, width, values = shape
    rng = np.random.default_rng(0)
    sizes = [(queries, width), (keys, width), (keys, values), (queries, values)]
    arrays = [rng.standard_normal((*heads, *size)).astype(np.float32) for size in sizes]
    theirs = [torch.from_numpy(x).requires_grad_() for x in arrays[:3]]
    given = None if mask is None else torch.from_numpy(mask)
    out = torch.nn.functional.scaled_dot_product_attention(*theirs, attn_mask=given, **options)
    loss = (out * out * torch.from_numpy(arrays[3])).sum()
    wanted = [out, *torch.autograd.grad(loss, theirs)]
    step = ours(options, by_hand)
    step = engine.jit(step) if jit else step
    leaves = [engine.from_numpy(x).requires_grad_() for x in arrays[:3]]
    given = None if mask is None else engine.from_numpy(mask)
    found = step(*leaves, engine.from_numpy(arrays[3]), given)
    expected = [one.detach().numpy() for one in wanted]
    # one query that sees one key has no gradient, of which PyTorch finds some rounding
    largest = max(np.abs(one).max() for one in expected[1:])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=0, atol=3e-6 * largest)
    return step


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_attention(shape: Any, options: dict[str, Any]) -> None:
    check(shape, options)


@pytest.mark.parametrize("shape", SHAPES[2:4])
@pytest.mark.parametrize("kind", ["bool", "float", "by sequence"])
def test_masks(shape: Any, kind: str) -> None:
    heads, queries, keys, *_ = shape
    rng = np.random.default_rng(1)
    mask = rng.random((queries, keys)) < 0.7
    mask[:, 0] = True
    if kind == "by sequence":
        mask = np.broadcast_to(
            rng.random((heads[0], 1, 1, keys)) < 0.7, (heads[0], 1, queries, keys)
        )
        mask = np.ascontiguousarray(mask | (np.arange(keys) == 0))
    if kind == "float":
        mask = rng.standard_normal((queries, keys)).astype(np.float32)
    check(shape, {}, mask)


def test_attention_that_is_written_out_takes_turns_too() -> None:
    step = check(SHAPES[2], {}, by_hand=True)
    (entry,) = step.programs
    assert entry.bound.program.kernels.groups


def test_dropout_in_a_step_is_the_dropout_outside() -> None:
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal((2, 4, 128, 32)).astype(np.float32) for _ in range(4)]
    step = ours({"dropout_p": 0.3}, by_hand=False)
    results = []
    for one in (step, engine.jit(step)):
        engine.manual_seed(5)
        leaves = [engine.from_numpy(x).requires_grad_() for x in arrays[:3]]
        results.append(one(*leaves, engine.from_numpy(arrays[3]), None))
    for a, b in zip(*results, strict=True):
        bound = 3e-6 * np.abs(a.detach().numpy()).max()
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=0, atol=bound)
