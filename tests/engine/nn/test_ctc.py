"""Log-probabilities and label sequences in, minus the log of what all their paths sum to, out."""

import itertools

import numpy as np
import pytest

import engine
import engine.nn.functional as F

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((4, 2, 3))
LOG_P = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
LABELS, STEPS, SIZES = np.array([[1, 2], [1, 1]]), np.array([4, 3]), np.array([2, 2])


def by_enumeration(log_p: np.ndarray, labels: list[int], steps: int) -> float:
    """The sum over every path that reads as ``labels`` without repeats and blanks."""
    total = 0.0
    for path in itertools.product(range(log_p.shape[1]), repeat=steps):
        read = [c for at, c in enumerate(path) if c != 0 and (at == 0 or path[at - 1] != c)]
        if read == labels:
            total += float(np.exp(log_p[range(steps), path].sum()))
    return -float(np.log(total))


def loss(log_p: engine.Tensor) -> engine.Tensor:
    labels, steps, sizes = (engine.tensor(x) for x in (LABELS, STEPS, SIZES))
    return F.ctc_loss(log_p, labels, steps, sizes, reduction="none")


def test_every_path_is_counted() -> None:
    wanted = [by_enumeration(LOG_P[:, at], list(LABELS[at]), STEPS[at]) for at in range(2)]
    for run in (loss, engine.jit(loss)):
        np.testing.assert_allclose(run(engine.tensor(LOG_P)).numpy(), wanted, rtol=1e-9)


def test_a_sequence_that_does_not_fit_is_infinite() -> None:
    short = engine.tensor(LOG_P[:2])
    given = (short, engine.tensor(LABELS), [2, 2], [2, 2])
    assert np.isinf(F.ctc_loss(*given, reduction="none").numpy()).tolist() == [False, True]
    assert F.ctc_loss(*given, reduction="none", zero_infinity=True).numpy()[1] == 0.0
    with pytest.raises(RuntimeError, match="input_lengths"):
        F.ctc_loss(short, engine.tensor(LABELS), [3, 2], [2, 2])
