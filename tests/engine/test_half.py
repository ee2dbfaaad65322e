"""Half precision is for storage: moved as it is, computed in float32, rounded once."""

import ml_dtypes
import numpy as np
import pytest

import engine

HALVES = [(engine.bfloat16, ml_dtypes.bfloat16), (engine.float16, np.float16)]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("dtype", "kind"), HALVES)
@pytest.mark.parametrize("compiled", [False, True])
def test_each_op_rounds_its_float32_result(dtype, kind, compiled):
    x, y = numbers(5, 33), numbers(5, 33, seed=1)
    a, b = engine.tensor(x).to(dtype), engine.tensor(y).to(dtype)

    def step(a, b):
        return a * b, (a + b).sum(1), a @ b.T, a.exp(), engine.cat([a, b])[:, ::2], a > b

    found = (engine.jit(step) if compiled else step)(a, b)
    p, q = x.astype(kind).astype(np.float32), y.astype(kind).astype(np.float32)
    both = (p + q).astype(kind).astype(np.float32)
    expected = [p * q, both.sum(1), p @ q.T, np.exp(p), np.concatenate([p, q])[:, ::2]]
    for one, value in zip(found, expected, strict=False):
        assert one.dtype == dtype
        exact = value.astype(kind).astype(np.float32)
        spacing = 2.0 ** (-7 if kind is ml_dtypes.bfloat16 else -10)  # a float32 sum may round off
        np.testing.assert_allclose(one.float().numpy(), exact, rtol=spacing, atol=spacing)
    np.testing.assert_array_equal(found[5].numpy(), p > q)
    np.testing.assert_array_equal(found[0].float().numpy(), (p * q).astype(kind).astype(np.float32))


@pytest.mark.parametrize(("dtype", "kind"), HALVES)
def test_rounding_in_kernels_is_numpys(dtype, kind):
    """Every exponent, ties, subnormals, overflow, infinities and NaN."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**32, 4096, dtype=np.uint32)
    ties = (bits & 0xFFFF0000) | 0x8000
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 65504, 65520, 6e-8, 3e38], np.float32)
    x = np.concatenate([bits.view(np.float32), ties.view(np.float32), special])
    with np.errstate(all="ignore"):
        expected = x.astype(kind)
    found = engine.jit(lambda v: v.to(dtype))(engine.tensor(x)).numpy()
    nan = np.isnan(x)
    np.testing.assert_array_equal(found[~nan].view(np.uint16), expected[~nan].view(np.uint16))
    assert np.isnan(found[nan].astype(np.float32)).all()
    back = engine.jit(lambda v: v.to(engine.float32))(engine.tensor(expected))
    np.testing.assert_array_equal(back.numpy(), expected.astype(np.float32))


def test_promotion_is_pytorchs():
    half, brain = (engine.ones(2, dtype=d) for d in (engine.float16, engine.bfloat16))
    assert (half + brain).dtype == engine.float32
    assert (half + engine.ones(2, dtype=engine.int64)).dtype == engine.float16
    assert (brain * 2.5).dtype == engine.bfloat16
    assert (brain + engine.ones(2)).dtype == engine.float32
    assert repr(brain + 1) == "tensor([2., 2.], dtype=bfloat16)"


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_keep_the_dtype_of_what_they_are_of(compiled):
    w = engine.tensor(numbers(4, 3)).to(engine.bfloat16).requires_grad_()

    def step(x):
        return engine.autograd.grad(((x @ w) ** 2).sum() + w[0].sum(), [w])[0]

    x = engine.tensor(numbers(2, 4, seed=2)).to(engine.bfloat16)
    found = (engine.jit(step) if compiled else step)(x)
    assert found.dtype == engine.bfloat16
    p, q = (v.detach().float().numpy() for v in (x, w))
    expected = 2 * p.T @ (p @ q)
    expected[0] += 1
    np.testing.assert_allclose(found.float().numpy(), expected, rtol=0.05, atol=0.1)


def test_autocast_stores_products_in_half_and_trains_in_float32():
    engine.manual_seed(0)
    model = engine.nn.Sequential(engine.nn.Linear(8, 16), engine.nn.Tanh(), engine.nn.Linear(16, 3))
    optimizer = engine.optim.Adam(model.parameters(), lr=0.05)
    x, y = engine.randn(32, 8), engine.randint(0, 3, (32,))

    @engine.jit
    def step(x, y):
        optimizer.zero_grad()
        with engine.autocast("cpu", dtype=engine.bfloat16):
            product = x @ model[0].weight.T
            loss = engine.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss, product

    losses = [step(x, y)[0].item() for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    assert step(x, y)[1].dtype == engine.bfloat16
    assert all(p.dtype == engine.float32 for p in model.parameters())
    assert not engine.is_autocast_enabled()
    with pytest.raises(RuntimeError, match="cpu and cuda"):
        engine.autocast("mps")
    with pytest.raises(TypeError, match="bfloat16 or float16"):
        engine.autocast("cpu", dtype=engine.float64)


def test_layers_move_to_half_and_back():
    layer = engine.nn.Linear(3, 2).bfloat16()
    assert layer.weight.dtype == engine.bfloat16
    assert layer(engine.ones(1, 3, dtype=engine.bfloat16)).dtype == engine.bfloat16
    assert layer.half().float().weight.dtype == engine.float32


def test_state_in_half_is_saved_and_loaded(tmp_path):
    state = {"a": engine.tensor(numbers(3)).to(engine.bfloat16), "b": engine.ones(2).half()}
    engine.save(state, tmp_path / "state.safetensors")
    again = engine.load(tmp_path / "state.safetensors")
    for name, value in state.items():
        assert again[name].dtype == value.dtype
        np.testing.assert_array_equal(again[name].float().numpy(), value.float().numpy())


@pytest.mark.parametrize(("dtype", "kind"), HALVES)
def test_formulas_of_many_ops_round_once(dtype, kind):
    x = np.array([300.0, -400.0, 3.0, 4.0], np.float32).astype(kind)  # squares overflow float16
    given = engine.from_numpy(x)
    found = engine.linalg.vector_norm(given)
    assert found.dtype == dtype
    wide = x.astype(np.float32)
    assert found.numpy() == np.sqrt((wide * wide).sum()).astype(kind)
    far = engine.asinh(given)
    np.testing.assert_array_equal(far.float().numpy(), np.arcsinh(wide).astype(kind).astype("f4"))


def test_layers_take_bfloat16_as_a_float():
    image = engine.tensor(numbers(1, 2, 6, 6)).to(engine.bfloat16)
    kernel = engine.tensor(numbers(3, 2, 3, 3, seed=1)).to(engine.bfloat16)
    F = engine.nn.functional
    wide = image.float()
    for found, wanted in (
        (F.conv2d(image, kernel), F.conv2d(wide, kernel.float())),
        (F.avg_pool2d(image, 2), F.avg_pool2d(wide, 2)),
        (F.max_pool2d(image, 2), F.max_pool2d(wide, 2)),
        (F.interpolate(image, 9, mode="bilinear"), F.interpolate(wide, 9, mode="bilinear")),
        (image.cumsum(2), wide.cumsum(2)),
    ):
        assert found.dtype == engine.bfloat16
        np.testing.assert_allclose(found.float().numpy(), wanted.numpy(), rtol=2**-7, atol=2**-5)
