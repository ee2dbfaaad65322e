"""Command lines in, what a person sees and the exit code out."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from codegen.cache import ObjectCache
from engine.cli import cached, doctor, main
from ir.text import parse_graph

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
import engine as torch

net = torch.nn.Linear(6, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)


@torch.jit
def step(x, y):
    optimizer.zero_grad()
    out = net(x)
    loss = torch.nn.functional.cross_entropy(out, y)
    loss.backward()
    optimizer.step()
    return loss, (out.argmax(1) == y).sum()


@torch.jit
def value(x, w):
    return torch.tanh(x @ w).sum()


def plain(x):
    return x * 2


def example_inputs():
    return torch.randn(16, 6), torch.randint(0, 3, (16,))


value.example_inputs = lambda: (torch.randn(16, 6), torch.randn(6, 3))

if __name__ == "__main__":
    print("given", sys.argv[1:])
    for _ in range(5):
        step(*example_inputs())
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectCache:
    store = ObjectCache(tmp_path / "objects")
    monkeypatch.setattr(cached, "shared_cache", lambda: store)
    return store


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# -- run ---------------------------------------------------------------------------------------


def test_run_gives_arguments_and_summary(script: Path) -> None:
    done = call("run", script, "--epochs", 3)
    assert done.exit_code == 0, done.output
    assert "given ['--epochs', '3']" in done.stdout
    assert "steps/s" in done.stderr
    row = next(line for line in done.stderr.splitlines() if line.split()[:2] == ["step", "1"])
    assert " 5 " in row


def test_run_quiet_prints_nothing_of_its_own(script: Path) -> None:
    done = call("run", "--quiet", script)
    assert (done.stdout, done.stderr) == ("given []\n", "")


def test_run_names_the_examples(tmp_path: Path) -> None:
    done = call("run", "nothing_here")
    assert done.exit_code == 2
    assert "lenet" in done.stderr


@pytest.mark.parametrize(("code", "wanted"), [("3", 3), ("None", 0), ("'stop'", 1)])
def test_run_passes_the_exit_code_on(tmp_path: Path, code: str, wanted: int) -> None:
    path = tmp_path / "leave.py"
    path.write_text(f"import sys\nsys.exit({code})\n")
    assert call("run", path).exit_code == wanted


@pytest.mark.parametrize(
    ("body", "line", "kind"),
    [
        ("import engine\nx = engine.ones(2, 3)\nx @ engine.ones(4, 5)\n", 3, "ShapeError"),
        ("def f():\n    return {}['key']\nf()\n", 2, "KeyError"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError"),
        ("x = (\n", 1, "SyntaxError"),
    ],
)
def test_run_shows_the_users_line_first(tmp_path: Path, body: str, line: int, kind: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(body)
    done = call("run", path)
    lines = done.stderr.splitlines()
    assert done.exit_code == 1
    assert lines[0].startswith(f"{path}:{line}: ")
    assert lines[1].startswith(kind)
    assert len(lines) <= 12


def test_run_cuts_long_messages_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("raise ValueError('\\n'.join(map(str, range(50))))\n")
    assert len(call("run", path).stderr.splitlines()) == 12
    done = call("run", "--traceback", path)
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "49" in done.stderr


# -- compile -----------------------------------------------------------------------------------

SIGNS = {
    "graph": "return ",
    "grad": "return ",
    "clusters": "cost ",
    "loops": "memory plan",
    "numba": "from numba import",
    "llvm": "define void @k_",
    "asm": ".globl",
}


@pytest.mark.parametrize("function", ["step", "value"])
@pytest.mark.parametrize("level", list(SIGNS))
def test_compile_shows_every_level(script: Path, function: str, level: str) -> None:
    done = call("compile", f"{script}:{function}", "--emit", level)
    assert done.exit_code == 0, done.output
    assert SIGNS[level] in done.stdout
    if level in ("graph", "grad"):
        assert parse_graph(done.stdout).outputs


def test_compile_differentiates_a_scalar(script: Path) -> None:
    done = call("compile", f"{script}:value", "--emit", "grad")
    assert re.search(r"return %\d+ 'value', %\d+ 'd_arg0', %\d+ 'd_arg1'", done.stdout)


def test_compile_takes_types(script: Path) -> None:
    done = call("compile", f"{script}:plain", "--emit", "graph", "--input", "f64[3,5]")
    assert "f64[3,5]" in done.stdout


def test_compile_shows_one_kernel(script: Path) -> None:
    done = call("compile", f"{script}:step", "--kernel", "k0_")
    assert done.exit_code == 0
    assert "k0_" in done.stdout
    assert "k1_" not in done.stdout


def test_compile_runs_nothing_of_the_step(script: Path) -> None:
    script.write_text(SCRIPT + "\nbefore = net.weight.detach().numpy().copy()\n")
    done = call("compile", f"{script}:step", "--emit", "loops")
    assert done.exit_code == 0
    module = sys.modules["tracefuse_train"]
    assert (module.net.weight.detach().numpy() == module.before).all()


@pytest.mark.parametrize(
    ("target", "options", "code", "says"),
    [
        ("train.py", (), 2, "is not FILE:FUNCTION"),
        ("other.py:step", (), 2, "no file other.py"),
        ("train.py:nothing", (), 2, "jitted there: step, value"),
        ("train.py:Undefined", (), 2, "has no function Undefined"),
        ("train.py:step", ("--kernel", "zzz"), 2, "no kernel has 'zzz'"),
        ("train.py:plain", ("--input", "q8[3]"), 2, "is no type"),
        ("train.py:plain", ("--input", "f32[N]"), 2, "sizes are numbers"),
        ("train.py:plain", ("--input", "f32[3]", "--emit", "grad"), 1, "hint: return a loss"),
        ("train.py:step", ("--target", "cuda", "--emit", "asm"), 2, "emits numba, ptx, resources"),
        (
            "train.py:step",
            ("--target", "cuda", "--emit", "numba", "--kernel", "zz"),
            2,
            "no kernel",
        ),
    ],
)
def test_compile_says_what_is_wrong(
    script: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    options: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(script.parent)
    done = call("compile", target, *options)
    assert done.exit_code == code
    assert says in done.stderr


def test_compile_shows_cuda_kernels_without_a_gpu(script: Path) -> None:
    shown = call("compile", f"{script}:step", "--target", "cuda", "--emit", "numba").stdout
    assert "@cuda.jit" in shown
    assert "from numba import cuda" in shown


def test_resources_come_with_bounds_by_a_data_sheet(script: Path) -> None:
    pytest.importorskip("numba_cuda", reason="PTX needs NVVM: pip install 'tracefuse[cuda]'")
    done = call("compile", f"{script}:value", "--target", "cuda", "--emit", "resources")
    if "no ptxas" in done.stderr or "no PTX" in done.stderr:
        pytest.skip(done.stderr)
    lines = done.stdout.splitlines()
    assert lines[0] == "sm_80"
    assert lines[1].split()[-4:] == ["KiB", "bound", "us", "by"]
    assert "on A100" in lines[-1]
    options = ("--target", "cuda", "--emit", "resources", "--gpu", "h100")
    other = call("compile", f"{script}:value", *options)
    assert other.stdout.startswith("sm_90\n")
    assert "on H100" in other.stdout


# -- doctor and cache --------------------------------------------------------------------------


def test_doctor_finds_this_machine_well() -> None:
    done = call("doctor")
    assert done.exit_code == 0, done.output
    for word in ("Python", "llvmlite", "vector registers", "threads", "ran natively", "CUDA"):
        assert word in done.stdout


def test_doctor_fails_when_programs_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no worker thread")

    monkeypatch.setattr(doctor, "compile_graph", broken)
    done = call("doctor")
    assert done.exit_code == 1
    assert "FAILED: OSError: no worker thread" in done.stdout


def test_cache_shows_verifies_and_clears(store: ObjectCache) -> None:
    assert "not there yet" in call("cache", "show").stdout
    store.put("a" * 64, b"code")
    shown = call("cache", "show").stdout
    assert str(store.folder) in shown
    assert "a" * 16 in shown
    assert call("cache", "verify").exit_code == 0
    (entry,) = store.entries()
    entry.path.write_bytes(b"planted")
    bad = call("cache", "verify")
    assert bad.exit_code == 1
    assert "is not a stored object" in bad.stderr
    assert "deleted 1 entry" in call("cache", "clear").stdout
    assert store.entries() == []


def test_help_needs_no_compiler() -> None:
    probe = (
        "import sys\nfrom engine.cli import main\nmain(['--help'], standalone_mode=False)\n"
        "sys.exit(bool({'codegen', 'llvmlite', 'numba', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout
