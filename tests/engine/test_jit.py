"""A jitted step against the same step run eagerly, and everything that must not surprise."""

import threading

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn
from engine.guards import bump_module_epoch

ALPHA = 2.0
SETTINGS = {"scale": 1.0}


def jit(fn=None, **options):
    """The interpreter is the specification; the native backend has its own tests."""
    return engine.jit(fn, backend="interpreter", **options)


def mlp(seed=0):
    engine.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def batch(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    return engine.tensor(x), engine.tensor(rng.integers(0, 3, n))


def training(make_optimizer):
    model = mlp()
    opt = make_optimizer(model.parameters())

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return model, opt, step


OPTIMIZERS = {
    "sgd": lambda p: engine.optim.SGD(p, lr=0.1),
    "momentum": lambda p: engine.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: engine.optim.Adam(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_is_eager_training(name):
    model, _, step = training(OPTIMIZERS[name])
    jitted_model, _, plain = training(OPTIMIZERS[name])
    jitted = jit(plain)
    for i, n in enumerate([8, 8, 5, 8, 3]):
        assert jitted(*batch(n, i)).item() == pytest.approx(step(*batch(n, i)).item(), rel=1e-5)
    for a, b in zip(model.parameters(), jitted_model.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert len(jitted.programs) == 2


def test_learning_rate_changes_without_a_new_program():
    model, opt, plain = training(OPTIMIZERS["momentum"])
    step = jit(plain)
    step(*batch(8))
    opt.param_groups[0]["lr"] = 0.0
    before = [p.detach().clone() for p in model.parameters()]
    step(*batch(8))
    assert len(step.programs) == 1
    for p, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), old.numpy())


def test_float_argument_is_a_run_time_input():
    step = jit(lambda x, w: (x * w).sum() + w)
    x = engine.ones(3)
    assert [step(x, w).item() for w in (1.0, 2.0, 0.5)] == [4.0, 8.0, 2.0]
    assert len(step.programs) == 1


def test_asking_for_a_float_specialises():
    step = jit(lambda x, w: x * w if w > 0 else x - 1)
    x = engine.ones(2)
    assert step(x, 2.0).tolist() == [2.0, 2.0]
    assert step(x, -1.0).tolist() == [0.0, 0.0]
    assert step(x, 2.0).tolist() == [2.0, 2.0]
    assert len(step.programs) == 2


def test_integers_and_strings_are_constants():
    step = jit(lambda x, n, mode: x**n if mode == "pow" else x * n)
    x = engine.full((2,), 3.0)
    assert step(x, 2, "pow").tolist() == [9.0, 9.0]
    assert step(x, 2, "mul").tolist() == [6.0, 6.0]
    assert step(x, 3, "mul").tolist() == [9.0, 9.0]


def test_captured_values_are_never_stale(monkeypatch):
    beta = 1.0

    def inner(x):
        return x * ALPHA

    step = jit(lambda x: inner(x) + beta + SETTINGS["scale"])
    x = engine.ones(1)
    assert step(x).item() == 4.0
    monkeypatch.setitem(globals(), "ALPHA", 3.0)
    assert step(x).item() == 5.0
    monkeypatch.setitem(SETTINGS, "scale", 10.0)
    assert step(x).item() == 14.0
    beta = 0.0
    assert step(x).item() == 13.0


def test_captured_tensor_is_read_at_each_call():
    offset = engine.zeros(2)
    step = jit(lambda x: x + offset)
    assert step(engine.ones(2)).tolist() == [1.0, 1.0]
    offset.fill_(5)
    assert step(engine.ones(2)).tolist() == [6.0, 6.0]
    assert len(step.programs) == 1


def test_written_tensor_is_updated_in_place():
    count = engine.zeros(())
    array = count.numpy()

    @jit
    def step(x):
        count.add_(1)
        return x * count

    assert [step(engine.ones(1)).item() for _ in range(3)] == [1.0, 2.0, 3.0]
    assert array.item() == 3.0


def test_train_and_eval_are_two_programs_found_again():
    model = nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5))
    step = jit(model)
    x, _ = batch(4)
    for _ in range(3):
        model.train()
        step(x)
        model.eval()
        quiet = step(x)
    np.testing.assert_allclose(quiet.numpy(), model(x).detach().numpy(), rtol=1e-6)
    assert len(step.programs) == 2


def test_changes_elsewhere_do_not_trace_again():
    model = mlp()
    step = jit(model)
    step(batch(4)[0])
    bump_module_epoch()
    mlp().eval()
    step(batch(4)[0])
    assert len(step.programs) == 1


def test_frozen_parameter_is_seen():
    model, _, plain = training(OPTIMIZERS["sgd"])
    step = jit(plain)
    step(*batch(8))
    frozen = model[0].weight
    frozen.requires_grad_(False)
    before = frozen.numpy().copy()
    step(*batch(8))
    np.testing.assert_array_equal(frozen.numpy(), before)


def test_random_numbers_are_the_eager_ones():
    def draw():
        return engine.rand(3), engine.randn(2, 2)

    engine.manual_seed(7)
    expected = [t.tolist() for _ in range(2) for t in draw()]
    step = jit(draw)
    engine.manual_seed(7)
    assert [t.tolist() for _ in range(2) for t in step()] == expected
    assert len(step.programs) == 1


def test_gradients_left_by_the_step():
    w = engine.tensor([1.0, 2.0], requires_grad=True)

    @jit
    def step(x):
        w.grad = None
        (w * x).sum().backward()

    step(engine.tensor([3.0, 4.0]))
    assert w.grad.tolist() == [3.0, 4.0]
    step(engine.tensor([5.0, 6.0]))
    assert w.grad.tolist() == [5.0, 6.0]


def test_gradients_accumulate_over_calls():
    w = engine.tensor([1.0], requires_grad=True)
    step = jit(lambda x: (w * x).sum().backward())
    for _ in range(4):
        step(engine.tensor([3.0]))
    assert w.grad.tolist() == [12.0]
    assert len(step.programs) == 2


@pytest.mark.parametrize("keep", [False, True])
def test_applied_gradients_are_kept_on_request(keep):
    model, _, plain = training(OPTIMIZERS["sgd"])
    step = jit(plain, keep_grads=keep)
    step(*batch(8))
    step(*batch(8))
    assert all((p.grad is not None) == keep for p in model.parameters())


def test_structures_in_and_out():
    @jit
    def step(data, *, factor):
        return {"sum": data["a"] + data["b"][0], "n": 3, "pair": (data["a"] * factor, None)}

    out = step({"a": engine.ones(2), "b": [np.full(2, 2.0, np.float32)]}, factor=4.0)
    assert out["sum"].tolist() == [3.0, 3.0]
    assert out["n"] == 3
    assert out["pair"][0].tolist() == [4.0, 4.0]
    assert out["pair"][1] is None


def test_the_same_tensor_twice_is_not_two():
    step = jit(lambda a, b: a - b)
    x, y = engine.ones(2), engine.zeros(2)
    assert step(x, x).tolist() == [0.0, 0.0]
    assert step(x, y).tolist() == [1.0, 1.0]


def test_symbolic_size_in_python_and_in_numbers():
    @jit
    def step(x):
        n = x.shape[0]
        return x.view(n, -1).sum() / n, x.reshape(n * 2, -1), n

    for n in (3, 5, 9):
        total, shaped, size = step(engine.ones(n, 4))
        assert (total.item(), shaped.shape, size) == (4.0, (2 * n, 2), n)
    assert len(step.programs) == 2


def test_sizes_that_cannot_stay_open_get_programs_of_their_own():
    step = jit(lambda x: x[: len(x) // 2].sum())
    assert [step(engine.ones(n)).item() for n in (4, 8, 6, 4)] == [2.0, 4.0, 3.0, 2.0]
    assert len(step.programs) == 3
    assert "one program for each size" in step.explain()


def test_second_backward_in_one_step_and_second_derivative():
    def f(x):
        y = (x**3).sum()
        (g,) = engine.autograd.grad(y, [x], create_graph=True)
        (h,) = engine.autograd.grad((g * g).sum(), [x])
        return h

    x = engine.tensor([1.0, 2.0], requires_grad=True)
    np.testing.assert_allclose(jit(f)(x).numpy(), f(x).numpy(), rtol=1e-6)
    np.testing.assert_allclose(f(x).numpy(), 36 * np.array([1.0, 8.0]), rtol=1e-6)


def test_detached_values_are_constants():
    x = engine.tensor([3.0], requires_grad=True)

    def f():
        x.grad = None
        (x * x.detach() + x.data.exp().detach() * x).sum().backward()

    f()
    expected = x.grad.item()
    jit(f)()
    assert x.grad.item() == pytest.approx(expected)
    assert expected == pytest.approx(3 + np.exp(3), rel=1e-6)


def test_nested_steps_inline():
    double = jit(lambda x: x * 2)
    outer = jit(lambda x: double(x) + 1)
    assert outer(engine.ones(2)).tolist() == [3.0, 3.0]
    assert not double.programs


def test_transforms_compose_with_jit():
    def loss(w, x):
        return ((w["a"] * x).sum() - w["b"]) ** 2

    w = {"a": engine.tensor([1.0, 2.0]), "b": engine.tensor(3.0)}
    x = engine.tensor([1.0, 1.0])
    value, grads = engine.value_and_grad(loss)(w, x)
    jitted_value, jitted = jit(engine.value_and_grad(loss))(w, x)
    assert value.item() == jitted_value.item()
    assert grads["a"].tolist() == jitted["a"].tolist()
    cube = engine.grad(engine.grad(lambda v: v**3))
    assert jit(cube)(engine.tensor(2.0)).item() == cube(engine.tensor(2.0)).item() == 12.0


def test_an_argument_that_is_also_written_state():
    buffer = engine.zeros(3)

    @jit
    def step(x):
        buffer.add_(1)
        return x * 10

    step(engine.ones(3))
    buffer.fill_(2.0)
    assert step(buffer).tolist() == [30.0, 30.0, 30.0]


def test_jitted_method_belongs_to_its_object():
    class Trainer:
        def __init__(self, factor):
            self.factor = factor

        @jit
        def step(self, x):
            return x * self.factor

    one, two = Trainer(2.0), Trainer(3.0)
    assert one.step(engine.ones(1)).item() == 2.0
    assert two.step(engine.ones(1)).item() == 3.0
    one.factor = 5.0
    assert one.step(engine.ones(1)).item() == 5.0


def test_no_grad_outside_is_part_of_the_key():
    model = mlp()

    @jit
    def f(x):
        return model(x).requires_grad

    with engine.no_grad():
        assert f(batch(2)[0]) is False
    assert f(batch(2)[0]) is True


def test_threads_may_share_a_step():
    step = jit(lambda x: x * 2)
    found = []
    threads = [
        threading.Thread(
            target=lambda i=i: found.append(step(engine.full((2,), float(i))).tolist())
        )
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[2.0 * i] * 2 for i in range(8)]


def test_graph_and_explain_can_be_read():
    step = jit(lambda x: (x * 2).sum())
    assert [n.op.name for n in step.graph(engine.ones(3)).nodes][-1] == "sum"
    assert not step.programs
    step(engine.ones(3))
    assert "first call" in step.explain()


def test_non_contiguous_arguments_and_state():
    state = engine.tensor(np.arange(6, dtype=np.float32).reshape(2, 3)).t()

    @jit
    def step(x):
        state.add_(x)
        return state * 1

    x = engine.ones(2, 3).t()
    expected = state.clone().numpy() + 1
    np.testing.assert_array_equal(step(x).numpy(), expected)
    np.testing.assert_array_equal(state.numpy(), expected)


def test_sizes_that_cannot_stay_open_get_a_program_each_and_say_so():
    @engine.jit
    def turn(x):
        return x.reshape(x.shape[1], 4) * 2

    for size in (3, 5, 7):
        x = np.arange(4 * size, dtype=np.float32).reshape(4, size)
        np.testing.assert_array_equal(turn(engine.tensor(x)).numpy(), x.reshape(size, 4) * 2)
    assert len(turn.programs) == 3
    assert "one program for each size" in turn.explain()
