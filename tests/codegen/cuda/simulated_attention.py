"""Attentions in, their kernels run by Numba's simulator and held to the interpreter out.

Collected by ``test_simulator.py`` alone, as ``simulated.py`` is.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import engine
from engine.nn import functional as F
from ir.interpret import interpret

if "simulated" not in sys.modules:  # collected before it
    path = Path(__file__).with_name("simulated.py")
    spec = importlib.util.spec_from_file_location("simulated", path)
    sys.modules["simulated"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["simulated"])
sim = sys.modules["simulated"]
small, pytestmark = sim.small, sim.pytestmark


def step_of(batch, heads, queries, keys, width, trained, **options):
    """An attention as the engine traces it: its result, or its gradients too."""
    masked = options.pop("mask", None)

    @engine.jit
    def step(q, k, v, g, mask):
        given = {**options, **({} if masked is None else {"attn_mask": mask})}
        if not trained:
            with engine.no_grad():
                return F.scaled_dot_product_attention(q, k, v, **given)
        out = F.scaled_dot_product_attention(q, k, v, **given)
        (out * g).sum().backward()
        return out, q.grad, k.grad, v.grad

    sizes = [(batch, heads, n, width) for n in (queries, keys, keys, queries)]
    tensors = [engine.randn(*size) for size in sizes]
    for tensor in tensors[:3]:
        tensor.requires_grad_(trained)
    mask = engine.from_numpy(np.zeros((1,), bool) if masked is None else masked)
    draft = step.draft(*tensors, mask)
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(size=s.node.shape).astype(s.node.dtype)
        if s.cell is None
        else np.array(s.cell.array)
        for s in draft.sources
    ]
    return draft, arrays


def kernels(found):
    return [source for source in found.sources if "of an attention" in source.way]


def holds(draft, arrays, count):
    """The program, after it was held to the interpreter; it has ``count`` kernels of attention."""
    found = sim.program(draft.graph, draft.donated)
    assert len(kernels(found)) == count
    wanted = interpret(draft.graph, [array.copy() for array in arrays])
    for got, want in zip(found.run([a.copy() for a in arrays]), wanted, strict=True):
        scale = np.abs(want[np.isfinite(want)]).max(initial=1e-30)
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6 * scale)
    return found


SHAPES = [(2, 3, 7, 19, 5), (1, 2, 8, 8, 4), (1, 1, 9, 3, 2)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_attention_is_one_kernel(small, shape, causal):
    """Queries and keys that no tile divides; nothing of the size of the scores is stored."""
    draft, arrays = step_of(*shape, False, is_causal=causal)
    found = holds(draft, arrays, 1)
    assert small.accesses
    buffers = {buffer for nest in found.kernels.nests for buffer in nest.buffers}
    assert not any(buffer.shape[-2:] == (shape[2], shape[3]) for buffer in buffers - kept(found))


def kept(found):
    return {*found.kernels.inputs, *found.kernels.outputs}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_compute_the_weights_again(shape, causal):
    """Three kernels and the rows' levels; nothing of the size of the scores is stored."""
    draft, arrays = step_of(*shape, True, is_causal=causal)
    found = holds(draft, arrays, 3)
    buffers = {buffer for nest in found.kernels.nests for buffer in nest.buffers}
    assert not any(buffer.shape[-2:] == (shape[2], shape[3]) for buffer in buffers - kept(found))


def test_dropout_is_applied_to_weights_that_are_computed_again():
    draft, arrays = step_of(1, 2, 5, 7, 3, True, dropout_p=0.4)
    holds(draft, arrays, 3)


def masks():
    rng = np.random.default_rng(1)
    blind = rng.random((1, 2, 5, 11)) > 0.5
    blind[0, 0, 1] = False
    blind[0, 1, 2, :8] = False  # nothing in the first tile
    added = np.where(blind, rng.normal(size=blind.shape), -np.inf).astype(np.float32)
    return {"bool": blind, "added": added, "row": added[:, :1, 3:4]}


@pytest.mark.parametrize("name", ["bool", "added", "row"])
def test_masks(name):
    """Rows that see nothing, and rows that see nothing in their first tile of keys."""
    draft, arrays = step_of(1, 2, 5, 11, 3, True, mask=masks()[name])
    at = next(i for i, s in enumerate(draft.sources) if s.node.shape == masks()[name].shape)
    arrays[at] = masks()[name]
    holds(draft, arrays, 3)


def test_infinities_and_nans_are_the_interpreters():
    draft, arrays = step_of(1, 1, 8, 9, 4, True)
    arrays[0][0, 0, 1] = np.inf
    arrays[0][0, 0, 5, 2] = np.nan
    arrays[1][0, 0, 7, 1] = -np.inf
    with np.errstate(all="ignore"):
        holds(draft, arrays, 3)


@pytest.mark.parametrize("width", [5, 9])
@pytest.mark.parametrize("at", [-1, -2])
def test_every_barrier_of_a_gradient_matters(small, at, width):
    """Of an even and of an odd number of steps in a product of scores."""
    draft, _ = step_of(1, 1, 8, 9, width, True)
    sim.every_barrier_matters(small, draft.graph, at)


def test_every_barrier_of_an_attention_matters(small):
    draft, _ = step_of(1, 1, 8, 9, 5, False)
    sim.every_barrier_matters(small, draft.graph)
