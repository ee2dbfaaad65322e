"""Networks on a GPU in, training that is the CPU's out.

Collected by ``test_simulated.py`` alone, in a process with NUMBA_ENABLE_CUDASIM=1: Numba decides
when it is imported whether it simulates CUDA.
"""

import copy

import numpy as np
import pytest

import engine

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of wrapping integers


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_three_steps_equal_the_cpus(name, trainer):
    losses, states = {}, {}
    for device in ("cpu", "cuda"):
        model, optimizer, step, batches = trainer(name, device)
        found = [step(x, y) for x, y in batches]
        assert all(loss.device.type == device for loss in found)
        losses[device] = [loss.item() for loss in found]
        states[device] = model.state_dict() | {
            f"slot {at} {slot}": value
            for at, slots in optimizer.state_dict()["state"].items()
            for slot, value in slots.items()
        }
        assert len(step.programs) == 1
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-5)
    assert states["cpu"].keys() == states["cuda"].keys()
    for key, value in states["cuda"].items():
        assert value.device.type == "cuda" or not value.shape, key
        np.testing.assert_allclose(
            value.cpu().numpy(), states["cpu"][key].numpy(), rtol=2e-4, atol=2e-6, err_msg=key
        )
    assert "launches a step" in step.explain()


def test_state_goes_between_devices(tmp_path, trainer):
    """A checkpoint of a GPU loads on the CPU and the other way round; training goes on."""
    model, optimizer, step, batches = trainer("mlp", "cuda")
    step(*batches[0])
    engine.save({"model": model.state_dict(), "opt": optimizer.state_dict()}, tmp_path / "a.st")
    saved = engine.load(tmp_path / "a.st")
    wanted = step(*batches[1]).item()
    for device in ("cpu", "cuda"):
        other, optimizer, step, batches = trainer("mlp", device)
        other.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["opt"])
        assert {p.device.type for p in other.parameters()} == {device}
        assert step(*batches[1]).item() == pytest.approx(wanted, rel=1e-5)


def test_a_model_comes_back_and_goes_on(trainer):
    """The same step on the CPU after a move: the optimizer's slots follow the parameters."""
    losses = []
    for devices in (("cpu",) * 4, ("cuda", "cpu", "cpu", "cuda")):
        model, optimizer, step, batches = trainer("mlp", "cpu")
        found = []
        for device, (x, y) in zip(devices, [*batches, batches[0]], strict=True):
            model.to(device)
            found.append(step(x.to(device), y.to(device)).item())
        losses.append(found)
        slot = optimizer.state[model[0].weight]["exp_avg"]
        assert slot.device.type == devices[-1]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_nothing_is_copied_to_the_host_until_a_value_is_read(monkeypatch, trainer):
    from codegen.cuda.runtime import Memory

    model, _, step, batches = trainer("mlp", "cuda")
    reads = []
    read = Memory.read
    monkeypatch.setattr(Memory, "read", lambda self: reads.append(self.on_host) or read(self))
    losses = [step(x, y) for x, y in batches]
    assert all(reads)  # what was read was known on the host: labels, to be checked
    memory = model[0].weight._cell.counter.memory
    assert memory.on_device
    assert not memory.on_host
    reads.clear()
    losses[-1].item()
    assert reads[0] is False


def test_the_interpreter_takes_the_same_tensors(trainer):
    model, _, step, batches = trainer("mlp", "cuda")
    slow = engine.jit(step.function, backend="interpreter")
    first = slow(*batches[0])
    assert first.is_cuda
    assert model[0].weight.is_cuda
    other = trainer("mlp", "cpu")
    assert first.item() == pytest.approx(other[2](*other[3][0]).item(), rel=1e-5)


def test_two_programs_for_every_batch_size(network):
    model = network().to("cuda").eval()
    plain = copy.deepcopy(model).to("cpu")

    @engine.jit
    def score(x):
        return model(x).softmax(-1)

    for rows in (3, 5, 4, 3):
        x = engine.randn(rows, 6)
        wanted = plain(x).softmax(-1).detach()
        np.testing.assert_allclose(score(x.cuda()).cpu().detach().numpy(), wanted.numpy(), 1e-4)
    assert len(score.programs) == 2


def test_op_by_op_is_the_cpus(trainer):
    """Without jit: the same numbers, on the device by name."""
    losses = {}
    for device in ("cpu", "cuda"):
        _, _, step, batches = trainer("mlp", device)
        losses[device] = [step.function(x, y).item() for x, y in batches]
    assert losses["cuda"] == losses["cpu"]
    rows = engine.arange(6, device="cuda").reshape(2, 3)
    assert rows[engine.tensor([1]).cuda()].tolist() == [[3, 4, 5]]
    assert (rows > 2).nonzero().is_cuda
    rows[0] = 7
    assert rows.tolist() == [[7, 7, 7], [3, 4, 5]]
