"""Steps and command lines in, rows against the machine's limits out; the caller's state stays."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import engine as torch
from codegen.machine import Level, Peaks
from engine import roofline as profiling
from engine.cli import main, roofline as command
from engine.roofline import Roofline, roofline
from engine.trace import TraceError

LEVELS = (Level("L1", 1 << 15, 1e11), Level("L2", 1 << 20, 5e10), Level("memory", 1 << 27, 1e10))
PEAKS = Peaks("a cpu", 1, 1e11, 5e10, LEVELS)
SCRIPT = """
import sys
import engine as torch

net = torch.nn.Linear(6, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


@torch.jit
def step(x, y):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss


@torch.jit
def score(x):
    return net(x).argmax(1)


def example_inputs():
    return torch.randn(16, 6), torch.randint(0, 3, (16,))


before = net.weight.detach().numpy().copy()
if __name__ == "__main__":
    for at in range(int(sys.argv[1])):
        x, y = example_inputs()
        step(x, y)
        if at == 0:
            score(x)
    print("finished")
"""


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that nobody has to measure."""
    monkeypatch.setattr(profiling, "measured_peaks", lambda threads: PEAKS)
    monkeypatch.setattr(command, "peaks", lambda threads, anew=False: PEAKS)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["roofline", "--runs", "2", *map(str, arguments)])


# -- from Python -------------------------------------------------------------------------------


class Net(torch.nn.Module):
    """A network that changes an attribute, running statistics and random state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(6, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.last = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.dropout(self.norm(self.linear(x)))
        self.last = y.detach().mean()
        return y


def everything(net: Net, optimizer: torch.optim.Optimizer) -> list[np.ndarray]:
    slots = [v for state in optimizer.state.values() for v in state.values()]
    tensors = [*net.state_dict().values(), *slots, torch.get_rng_state()]
    return [np.array(t.detach().numpy()) for t in tensors if isinstance(t, torch.Tensor)]


def test_state_stays_as_it_was() -> None:
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())

    @torch.jit(keep_grads=True)
    def step(x, y):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    roofline(step, x, y, runs=1)
    assert net.last is None
    for _ in range(2):
        step(x, y)
    before, kept, grad = everything(net, optimizer), net.last.item(), net.linear.weight.grad
    roofline(step, x, y, runs=2)
    for now, old in zip(everything(net, optimizer), before, strict=True):
        np.testing.assert_array_equal(now, old)
    assert (net.last.item(), net.linear.weight.grad) == (kept, grad)
    assert step.programs[-1].bound.program.timings is None
    assert np.isfinite(step(x, y).item())


def test_arguments_that_are_written_stay() -> None:
    @torch.jit
    def double(x):
        x.mul_(2.0)
        return x.sum()

    x = torch.ones(8)
    roofline(double, x, runs=1)
    assert x.tolist() == [1.0] * 8


def products(found: Roofline) -> list[tuple[int, int]]:
    return [(row.flops, row.launches) for row in found.rows if "dot" in row.kernel]


def test_plain_function_and_its_products() -> None:
    x, w = torch.randn(7, 5), torch.randn(5, 3)
    found = roofline(lambda a, b: a @ b, x, w, runs=1)
    assert products(found) == [(2 * 7 * 5 * 3, 1)]
    (row,) = [row for row in found.rows if "dot" in row.kernel]
    assert row.bytes == 4 * (7 * 5 + 5 * 3 + 7 * 3)
    assert row.level == "L1"
    assert row.limit == pytest.approx(max(row.flops / 1e11, row.bytes / 1e11))
    assert row.share == pytest.approx(row.limit / row.seconds)


def test_turns_of_a_loop_count() -> None:
    w = torch.randn(8, 8)

    def turn(h, x):
        h = torch.tanh(h @ w + x)
        return h, h

    found = roofline(lambda h, xs: torch.scan(turn, h, xs), torch.zeros(4, 8), torch.randn(9, 4, 8))
    assert products(found) == [(9 * (2 * 4 * 8 * 8 + 2 * 4 * 8), 9)]


def test_open_sizes_have_the_values_of_the_call() -> None:
    @torch.jit
    def product(a, b):
        return a @ b

    w = torch.randn(5, 3)
    for rows in (7, 9):
        product(torch.randn(rows, 5), w)
    found = roofline(product, torch.randn(11, 5), w, runs=1)
    assert products(found) == [(2 * 11 * 5 * 3, 1)]
    assert len(product.programs) == 2


def test_parts_add_up() -> None:
    found = roofline(torch.tanh, torch.randn(100, 100), runs=2)
    whole = found.kernels + found.between + found.outside + found.python
    assert whole == pytest.approx(found.step)
    assert found.limit == pytest.approx(sum(row.limit for row in found.rows))


def test_lapack_is_told_apart() -> None:
    square = torch.randn(6, 6)
    found = roofline(lambda a: torch.linalg.inv(a) * 2.0, square, runs=1)
    assert found.outside > 0


def test_interpreter_has_no_kernels() -> None:
    step = torch.jit(torch.tanh, backend="interpreter")
    with pytest.raises(TraceError, match="has no kernels"):
        roofline(step, torch.ones(3))


# -- from the command line ---------------------------------------------------------------------


def test_script_stops_once_its_step_has_run_enough(script: Path) -> None:
    done = call(script, 1000)
    assert done.exit_code == 0, done.output
    assert "finished" not in done.stdout
    assert "a cpu, 1 thread: float32 100, float64 50 GFLOP/s" in done.stdout
    assert "\nstep: " in done.stdout
    assert "train.py:12: loss = torch.nn.functional.cross_entropy(net(x), y)" in done.stdout
    for word in ("the step, called from Python", "barriers", "Python", "the least these kernels"):
        assert word in done.stdout


def test_steps_say_when_to_stop(script: Path) -> None:
    assert "finished" in call("--steps", 5, script, 5).stdout
    assert "finished" not in call("--steps", 5, script, 6).stdout


def test_narrow_terminals_cut_the_users_line() -> None:
    found = roofline(torch.tanh, torch.randn(100, 100), runs=1)
    console = Console(width=110, file=io.StringIO())
    console.print(command.kernel_table(found, found.rows))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 1 + len(found.rows)
    assert all(row.kernel in line for row, line in zip(found.rows, lines[1:], strict=True))


def test_short_script_is_enough(script: Path) -> None:
    done = call(script, 2)
    assert "finished" in done.stdout
    assert "\nstep: " in done.stdout


def test_step_is_chosen_by_name(script: Path) -> None:
    assert "\nscore: " in call("--step", "score", script, 3).stdout
    done = call("--step", "other", script, 3)
    assert done.exit_code == 2
    assert "ran no jitted step called other" in done.stderr


def test_function_of_a_file(script: Path) -> None:
    done = call("--top", 1, f"{script}:step")
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stdout.splitlines() if line.endswith(" more")]
    assert line.startswith("and ")


def test_kernels_are_filtered_and_stored(script: Path, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    done = call("--kernel", "dot", "--json", file, f"{script}:step")
    assert done.exit_code == 0, done.output
    stored = json.loads(file.read_text())
    assert stored["name"] == "step"
    assert stored["peaks"]["levels"][0]["name"] == "L1"
    assert stored["kernels_each"]
    for row in stored["kernels_each"]:
        assert "dot" in row["kernel"]
        assert row["gflops"] == pytest.approx(row["flops"] / row["seconds"] / 1e9)
        assert row["loc"]["line"] == 12


def test_calibrate_alone_shows_the_limits() -> None:
    done = call("--calibrate")
    assert done.exit_code == 0
    assert "GB/s: L1 100 (32.0 KiB), L2 50 (1.0 MiB), memory 10" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "give SCRIPT"),
        (("nothing_here",), 2, "no file nothing_here"),
        (("train.py:nothing",), 2, "jitted there: step, score"),
        (("train.py:step", "3"), 2, "ARGUMENTS are for a script"),
        (("--kernel", "zzz", "train.py:step"), 2, "no kernel has 'zzz'"),
        (("train.py",), 1, "IndexError"),
    ],
)
def test_command_says_what_is_wrong(
    script: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(script.parent)
    done = call(*arguments)
    assert done.exit_code == code
    assert says in done.stderr
