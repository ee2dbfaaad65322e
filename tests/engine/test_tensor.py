"""Tensors outside a trace: values against NumPy, PyTorch's promotion, sharing of memory, errors."""

import copy
import pickle

import numpy as np
import pytest

import engine

RNG = np.random.default_rng(0)
A = RNG.standard_normal((3, 4)).astype(np.float32)
B = RNG.standard_normal((3, 4)).astype(np.float32)
P = np.abs(A) + 0.5


def close(x, expected):
    np.testing.assert_allclose(x.detach().numpy(), expected, rtol=2e-5, atol=1e-6)


VALUES = {
    "add": (lambda a, b: a + b * 2 - 1, A + B * 2 - 1),
    "reflected": (lambda a, b: 1 - 2 / (3 * b + 10), 1 - 2 / (3 * B + 10)),
    "pow": (lambda a, b: a**2 + a**3, A**2 + A**3),
    "floor_divide": (lambda a, b: a // 0.7 + a % 0.7, A // 0.7 + A % 0.7),
    "broadcast": (lambda a, b: a * b[0] + b[:, :1], A * B[0] + B[:, :1]),
    "matmul": (lambda a, b: a @ b.T, A @ B.T),
    "batched": (lambda a, b: a[None] @ b.t(), A[None] @ B.T),
    "vector": (lambda a, b: a @ b[0], A @ B[0]),
    "exp": (lambda a, b: a.exp().log() + b.tanh(), A + np.tanh(B)),
    "sigmoid": (lambda a, b: (a * 50).sigmoid(), 1 / (1 + np.exp(-A.astype(np.float64) * 50))),
    "clamp": (lambda a, b: a.clamp(-0.5, 0.5), np.clip(A, -0.5, 0.5)),
    "sum": (
        lambda a, b: a.sum((0, 1)) + b.sum(-1, keepdim=True),
        A.sum() + B.sum(-1, keepdims=True),
    ),
    "mean": (lambda a, b: a.mean(0) + b.mean(), A.mean(0) + B.mean()),
    "var": (lambda a, b: a.var(0) + b.std(), A.var(0, ddof=1) + B.std(ddof=1)),
    "max": (lambda a, b: a.max(1).values + b.amax(), A.max(1) + B.max()),
    "argmax": (lambda a, b: a.argmax(1) + b.argmin(), A.argmax(1) + B.argmin()),
    "softmax": (lambda a, b: a.softmax(1).log() - a.log_softmax(1), np.zeros_like(A)),
    "shapes": (lambda a, b: a.view(2, -1).permute(1, 0).flatten(), A.reshape(2, 6).T.ravel()),
    "squeeze": (lambda a, b: a.unsqueeze(1).expand(3, 2, 4)[:, 0].squeeze(), A),
    "index": (lambda a, b: a[1:, ::2] * b[-1, 1] + a[0, ..., 0], A[1:, ::2] * B[-1, 1] + A[0, 0]),
    "cat": (lambda a, b: engine.cat([a, b], 1), np.concatenate([A, B], 1)),
    "stack": (lambda a, b: engine.stack([a, b]).sum(0), A + B),
    "where": (lambda a, b: engine.where(a > b, a, 0.0), np.where(A > B, A, 0)),
    "flip": (lambda a, b: a.flip(0), A[::-1]),
}


@pytest.mark.parametrize("name", VALUES)
def test_value(name):
    function, expected = VALUES[name]
    close(function(engine.tensor(A), engine.tensor(B)), expected)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: engine.tensor([1, 2]), "int64"),
        (lambda: engine.tensor([1.0]), "float32"),
        (lambda: engine.tensor([True]), "bool"),
        (lambda: engine.tensor(A.astype(np.float64)), "float64"),
        (lambda: engine.tensor([1, 2]) * 2.5, "float32"),
        (lambda: engine.tensor([1]) / engine.tensor([2]), "float32"),
        (lambda: engine.tensor([1], dtype=engine.int32) + 1, "int32"),
        (lambda: engine.tensor([1.0], dtype=engine.float64) * engine.tensor([1.0]), "float64"),
        (lambda: engine.tensor([1.0]) * engine.tensor(1.0, dtype=engine.float64), "float32"),
        (lambda: engine.tensor([1]) * engine.tensor(1.0, dtype=engine.float64), "float64"),
        (lambda: engine.tensor([True, True]).sum(), "int64"),
        (lambda: engine.tensor([1.0]) > 0, "bool"),
        (lambda: engine.arange(3), "int64"),
        (lambda: engine.arange(0.0, 1.0, 0.25), "float32"),
        (lambda: engine.tensor([1.7]).long(), "int64"),
    ],
)
def test_dtypes_are_pytorchs(make, dtype):
    assert make().dtype.name == dtype


def test_memory_is_shared_by_aliases():
    array = np.zeros(3, np.float32)
    x = engine.from_numpy(array)
    x.detach().add_(1)
    x.view(3, 1)[0].fill_(5)
    assert array.tolist() == [5.0, 1.0, 1.0]
    assert x.tolist() == [5.0, 1.0, 1.0]
    assert x.clone().numpy() is not array


def test_in_place_methods_return_the_tensor():
    x = engine.tensor([1.0, 2.0])
    y = x
    y += 1
    assert y is x
    assert x.mul_(2).sub_(1).div_(2).tolist() == [1.5, 2.5]
    assert x.copy_(engine.tensor(3)).tolist() == [3.0, 3.0]
    x[0] = 7
    x[1:] = engine.tensor([8.0])
    assert x.tolist() == [7.0, 8.0]


def test_numbers_and_containers():
    x = engine.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.shape == (2, 2)
    assert x.size(-1) == 2
    assert x.numel() == 4
    assert len(x) == 2
    assert [row.sum().item() for row in x] == [3.0, 7.0]
    assert float(x[0, 0]) == 1.0
    assert int(x[1, 1]) == 4
    assert bool(x[0, 0] == 1)
    assert (x == None) is False  # noqa: E711
    assert f"{x.mean():.2f}" == "2.50"
    np.testing.assert_array_equal(np.asarray(x), x.numpy())


def test_indexing_by_arrays_and_masks():
    x = engine.tensor(A)
    np.testing.assert_array_equal(x[[0, 2]].numpy(), A[[0, 2]])
    np.testing.assert_array_equal(x[x > 0].numpy(), A[A > 0])
    with pytest.raises(RuntimeError, match="a leaf Tensor that requires grad"):
        x.requires_grad_()[[0, 1]] = 0.0


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (engine.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (engine.tensor([1, 2]), "tensor([1, 2])"),
        (engine.tensor([True]), "tensor([True])"),
        (engine.tensor(3.0, dtype=engine.float64), "tensor(3., dtype=float64)"),
        (engine.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    ],
)
def test_printed_as_pytorch_does(x, text):
    assert repr(x) == text


def test_copies():
    x = engine.tensor(A, requires_grad=True)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.requires_grad
        close(y, A)


def test_random_numbers_repeat_and_are_spread():
    engine.manual_seed(5)
    first = engine.randn(20000)
    assert abs(first.mean().item()) < 0.03
    assert abs(first.std().item() - 1) < 0.03
    uniform = engine.rand(20000)
    assert 0 <= uniform.min().item() < uniform.max().item() < 1
    engine.manual_seed(5)
    assert engine.randn(20000).tolist() == first.tolist()
    assert sorted(engine.randperm(50).tolist()) == list(range(50))
    drawn = engine.randint(-2, 3, (1000,))
    assert set(drawn.tolist()) == {-2, -1, 0, 1, 2}


MISUSES = {
    "shapes": (lambda x: x + engine.ones(5), ValueError, "do not broadcast"),
    "matmul": (lambda x: x @ engine.ones(3, 4), ValueError, "inner sizes differ"),
    "view": (lambda x: x.view(5, -1), ValueError, "cannot view"),
    "axis": (lambda x: x.sum(2), IndexError, "out of range"),
    "index": (lambda x: x[9], IndexError, "out of bounds"),
    "many": (lambda x: x[0, 0, 0], IndexError, "too many indices"),
    "mean": (lambda x: x.long().mean(), TypeError, "float tensors"),
    "item": (lambda x: x.item(), RuntimeError, "cannot be converted"),
    "truth": (bool, RuntimeError, "ambiguous"),
    "expanded": (lambda x: x[:1].expand(3, 4).add_(1), RuntimeError, "single memory location"),
    "grow": (lambda x: x[0].add_(engine.ones(2, 4)), RuntimeError, "does not fit"),
    "store": (lambda x: x.long().add_(0.5), TypeError, "cannot be stored"),
    "dtype": (lambda x: engine.tensor(np.zeros(2, np.complex64)), TypeError, "not supported"),
    "device": (lambda x: x.to("cuda"), RuntimeError, "no device"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_names_the_users_line(name):
    misuse, kind, text = MISUSES[name]
    with pytest.raises(kind, match=text) as caught:
        misuse(engine.tensor(A))
    lines = str(caught.value).splitlines()
    assert "test_tensor.py:" in lines[0]
    assert len(lines) <= 12
