"""Public calls on tensors of a GPU in, what PyTorch's users expect of them out.

Collected by ``test_simulated.py`` alone, in a process with NUMBA_ENABLE_CUDASIM=1: Numba decides
when it is imported whether it simulates CUDA.
"""

import copy

import numpy as np
import pytest

import engine
from codegen.cuda.driver import simulated
from engine import nn
from engine.nn import functional as F
from engine.storage import Cell

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of wrapping integers


def test_two_devices_are_refused_with_the_line():
    x, y = engine.ones(3).to("cuda"), engine.ones(3)
    message = r"on_a_gpu.py[\s\S]*same device, but found at least two devices, cuda:0 and cpu!"
    with pytest.raises(RuntimeError, match=message):
        x + y
    model = nn.Linear(3, 2).to("cuda")

    @engine.jit
    def forward(x):
        return model(x)

    with pytest.raises(RuntimeError, match=message):
        forward(y)
    with pytest.raises(RuntimeError, match=message):
        model(y)
    assert forward(x).device == engine.device("cuda:0")
    assert (x + engine.tensor(2.0)).device.type == "cuda"  # a number goes along, as in PyTorch
    assert (x * 2).tolist() == [2, 2, 2]
    y.copy_(x * 3)
    assert y.device.type == "cpu"
    assert y.tolist() == [3, 3, 3]


def test_moves_inside_a_step():
    """An argument of the CPU that the step moves, a result that it moves back."""

    @engine.jit
    def step(x, scale):
        return (x.to("cuda") * scale).cpu(), x

    scale = engine.full((3,), 2.0, device="cuda")
    for start in (0.0, 1.0):
        x = engine.arange(start, start + 3)
        found, same = step(x, scale)
        assert found.device.type == "cpu"
        assert same is x
        np.testing.assert_array_equal(found.numpy(), x.numpy() * 2)


def test_gradients_cross_devices():
    x = engine.tensor([1.0, 2.0], requires_grad=True)
    w = engine.tensor([3.0, 4.0], device="cuda", requires_grad=True)
    (x.to("cuda") * w).sum().backward()
    assert x.grad.device.type == "cpu"
    assert w.grad.device.type == "cuda"
    assert x.grad.tolist() == [3, 4]
    assert w.grad.tolist() == [1, 2]


def test_state_of_the_cpu_is_written_back():
    total = engine.zeros(())
    kept = np.zeros(2, np.float32)
    shared = engine.from_numpy(kept)

    @engine.jit
    def step(x):
        total.add_(x.sum().cpu())
        shared.copy_(x)
        return x * 2

    x = engine.tensor([1.0, 2.0], device="cuda")
    for _ in range(3):
        step(x)
    assert total.item() == 9
    assert total.device.type == "cpu"
    assert kept.tolist() == [1, 2]


def test_views_share_memory_with_a_step():
    """A view taken before a step sees what the step wrote; a write through it reaches the step."""
    x = engine.zeros(4, device="cuda")
    half = x[2:]

    @engine.jit
    def step():
        x.add_(1.0)
        return x.sum()

    assert step().item() == 4
    assert half.tolist() == [1, 1]
    half.fill_(5.0)
    assert step().item() == 16
    assert x.tolist() == [2, 2, 6, 6]

    @engine.jit
    def of_a_view(part):
        part.mul_(2.0)
        return part.sum()

    assert of_a_view(half).item() == 24
    assert x.tolist() == [2, 2, 12, 12]


def test_factories_and_moves():
    x = engine.zeros(2, 3, device="cuda")
    assert x.is_cuda
    assert x.get_device() == 0
    assert engine.zeros_like(x).device == engine.device("cuda:0") == engine.rand_like(x).device
    assert x.new_ones(2).is_cuda
    assert x.to(engine.float64).is_cuda
    assert x.to("cuda") is x
    assert x.cuda() is x
    assert engine.ones(2).to(x).is_cuda
    assert not x.cpu().is_cuda
    assert nn.Linear(2, 2, device="cuda").weight.is_cuda
    assert copy.deepcopy(nn.Linear(2, 2, device="cuda")).weight.is_cuda
    assert "device='cuda:0'" in repr(x)
    with pytest.raises(TypeError, match="use x"):
        x.numpy()
    with pytest.raises(RuntimeError, match="CUDA_VISIBLE_DEVICES=1"):
        engine.zeros(2, device="cuda:1")
    with pytest.raises(RuntimeError, match="no device 'mps'"):
        x.to("mps")


def test_places_are_checked_where_the_host_knows_them():
    table = engine.arange(4.0, device="cuda")

    @engine.jit
    def look(x):
        return table.gather(0, x)

    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        look(engine.tensor([1, 4]).to("cuda"))
    assert look(engine.tensor([1, 3]).to("cuda")).tolist() == [1, 3]


def test_lapack_runs_between_launches():
    @engine.jit
    def step(a):
        return engine.linalg.solve(a @ a.mT + engine.eye(3), engine.ones(3, 1)).sum()

    a = engine.randn(3, 3)
    found = step(a.cuda())
    assert found.item() == pytest.approx(step(a).item(), rel=1e-5)
    assert "LAPACK computes" in step.explain()


def test_loaders_pin():
    data = engine.utils.data.TensorDataset(engine.randn(5, 2), engine.arange(5))
    for workers in (0, 2):
        loader = engine.utils.data.DataLoader(data, 2, pin_memory=True, num_workers=workers)
        for x, y in loader:
            assert x.is_pinned()
            assert y.is_pinned()
            moved = x.to("cuda", non_blocking=True)
            assert moved.is_cuda
            np.testing.assert_array_equal(moved.cpu().numpy(), x.numpy())


def test_cuda_module():
    engine.cuda.synchronize()
    engine.cuda.reset_peak_memory_stats()
    before = engine.cuda.memory_allocated()
    x = engine.zeros(1024, device="cuda")
    assert engine.cuda.memory_allocated() - before == 4096
    del x
    assert engine.cuda.memory_allocated() == before
    assert engine.cuda.max_memory_allocated() - before == 4096
    assert engine.cuda.memory_reserved() >= before
    engine.cuda.empty_cache()
    assert engine.cuda.device_count() == 1
    assert ("simulator" in engine.cuda.get_device_name()) == simulated()
    with engine.autocast("cuda", enabled=False):
        pass


def test_a_cells_memory_is_not_asked_for_its_shape():
    """Shapes and dtypes are known without waiting."""

    class Deaf:
        shape, dtype = (2, 3), np.dtype(np.float32)
        on_host, on_device = False, True

        def read(self):
            raise AssertionError("read")

    cell = Cell(None, home="cuda:0")
    cell.hold(Deaf())
    x = engine.Tensor(cell)
    assert x.shape == (2, 3)
    assert x.dtype == engine.float32
    assert x.is_contiguous()
    assert x.device.type == "cuda"
    assert x.detach().ndim == 2


def test_gradients_add_up_over_steps():
    """Gradients are state of a step that leaves them, and what it stores in modules stays there."""
    model = nn.Linear(3, 2).to("cuda")

    @engine.jit
    def step(x):
        model.last = model(x)
        model.last.sum().backward()

    x = engine.ones(4, 3, device="cuda")
    for count in (1, 2, 3):
        step(x)
        assert model.weight.grad.is_cuda
        assert model.weight.grad.tolist() == [[4.0 * count] * 3] * 2
        assert model.last.is_cuda
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.abs().sum().item() == 0


def test_loops_and_layers_with_tables_of_their_own():
    """An LSTM's loop; layers that make constants from arrays."""
    engine.manual_seed(1)
    lstm = nn.LSTM(3, 4, batch_first=True)
    x = engine.randn(2, 3, 3)
    wanted = lstm(x)[0].sum().item()
    lstm.to("cuda")
    step = engine.jit(lambda x: lstm(x)[0].sum())
    assert step(x.cuda()).item() == pytest.approx(wanted, rel=1e-4)
    image = engine.randn(1, 1, 6, 6)
    for layer in (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        lambda x: F.adaptive_avg_pool2d(x, 4),
        lambda x: F.one_hot((x > 0).long(), 2).sum(),
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    ):
        found = layer(image.cuda())
        assert found.is_cuda
        np.testing.assert_allclose(found.cpu().numpy(), layer(image).numpy(), rtol=1e-5)


def test_a_default_device():
    with engine.device("cuda"):
        x = engine.ones(2, 3)
        model = nn.Linear(3, 2)
        listed = engine.tensor([1.0, 2.0])
        drawn = engine.randn(2)
        kept = engine.zeros(2, device="cpu")
        shared = engine.from_numpy(np.ones(2, np.float32))
    assert {t.device.type for t in (x, model.weight, model.bias, listed, drawn)} == {"cuda"}
    assert {t.device.type for t in (kept, shared, engine.ones(1))} == {"cpu"}
    assert model(x).is_cuda
    engine.set_default_device("cuda")
    try:
        assert engine.zeros(1).is_cuda
        assert engine.get_default_device() == engine.device("cuda:0")
    finally:
        engine.set_default_device(None)
    assert engine.zeros(1).is_cpu
