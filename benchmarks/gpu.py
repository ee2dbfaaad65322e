"""A machine with a GPU in, everything checked there against the CPU and timed against PyTorch out.

    python benchmarks/gpu.py [--networks lenet,mlp] [--no-ops] [--no-tests] [--compile]
                             [--precision tf32] [--small]

Every case of the op table, the tests of tensors on a GPU, and three training steps of the
benchmark's networks are held to the interpreter and to the CPU; then the steps are timed, beside
PyTorch's where it has CUDA. Ends with 1 if anything is wrong, and with 0 where there is no GPU,
saying why. It takes a few minutes, most of which is compiling; ``--small`` is for the simulator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NAMES = ("lenet", "mlp", "transformer", "lstm", "resnet")
CLOSE, STRICT = 1e-5, 1e-4  # relative, of three losses; more than the second is wrong
ROUGH = {"default": 1, "tf32": 100, "bf16": 800}  # times as far apart where factors are rounded
TESTS = sorted((ROOT / "tests" / "engine" / "device").glob("*on_a_gpu.py"))
WAIT = 420  # seconds for any part

started = time.perf_counter()


def say(text: str) -> None:
    """A line with the time since the start, at once."""
    print(f"{time.perf_counter() - started:6.1f} s  {text}", flush=True)


def launch(*command: str) -> subprocess.Popen[str]:
    """A Python process beside this one."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "TRACEFUSE_NUM_THREADS": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_ops(shares: list[subprocess.Popen[str]]) -> int:
    """Wait for the op table; how many cases are wrong."""
    total: dict[str, int] = {}
    lost = 0
    for share in shares:
        out, errors = share.communicate(timeout=WAIT)
        for line in map(json.loads, out.splitlines()):
            if "case" in line:
                say(f"WRONG: {line['case']}: {line['wrong']}")
            for word, count in line.get("counts", {}).items():
                total[word] = total.get(word, 0) + count
        if share.returncode:
            lost += 1
            say(f"WRONG: a process of op cases ended: {errors.strip().splitlines()[-1:]}")
    say("op table: " + ", ".join(f"{count} {word}" for word, count in total.items()))
    return total.get("wrong", 0) + lost


def check_tests(run: subprocess.Popen[str]) -> int:
    """Wait for the tests of the public calls."""
    out, _ = run.communicate(timeout=WAIT)
    lines = out.strip().splitlines() or ["no output"]
    for line in lines:
        if line.startswith("FAILED"):
            say(f"WRONG: {line}")
    say(f"tests of tensors on a GPU: {lines[-1].strip('= ')}")
    return int(run.returncode != 0)


def check_steps(runs: dict[str, subprocess.Popen[str]], slack: float) -> int:
    """Wait for three training steps of each network; how many networks are wrong."""
    wrong = 0
    for name, run in runs.items():
        assert run.stdout is not None
        line = run.stdout.readline()
        if not line:
            wrong += 1
            said = (run.communicate()[1].strip().splitlines() or ["no output"])[-1]
            say(f"WRONG: {name}: {said}")
            continue
        report = json.loads(line)
        bad = not report["apart"] <= STRICT * slack
        wrong += bad
        word = "WRONG" if bad else "right" if report["apart"] <= CLOSE * slack else "near"
        say(f"{word}: {name}: losses {report['apart']:.1e} from the CPU's; {report['how']}")
    return wrong


def time_steps(runs: dict[str, subprocess.Popen[str]]) -> tuple[list[list[str]], list[str]]:
    """One network after the other; rows of a table, and a table of each one's kernels."""
    from gpu_kernels import table

    rows: list[list[str]] = []
    kernels: list[str] = []
    for name, run in runs.items():
        if run.poll() is not None:
            continue
        out, errors = run.communicate("time\n", timeout=WAIT)
        if run.returncode or not out.strip():
            say(f"{name} was not timed: {(errors.strip().splitlines() or ['no output'])[-1]}")
            continue
        found: dict[str, float]
        found, parts = map(json.loads, out.splitlines()[-2:])
        kernels.append(table(name, parts))
        say(f"{name}: " + ", ".join(f"{way} {ms:.3f} ms" for way, ms in found.items()))
        rest = [ms for way, ms in found.items() if way != "tracefuse"]
        ratio = f"{min(rest) / found['tracefuse']:.2f}" if rest else "-"
        cells = [f"{found[way]:.3f}" if way in found else "-" for way in WAYS]
        rows.append([name, *cells, ratio])
    return rows, kernels


WAYS = ("tracefuse", "PyTorch eager", "torch.compile")


def options() -> Any:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NAMES))
    parser.add_argument("--no-ops", action="store_true", help="leave the op table out")
    parser.add_argument("--ops", type=int, default=10**6, help="only the first N cases")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    parser.add_argument("--compile", action="store_true", help="time torch.compile, too")
    parser.add_argument("--precision", choices=list(ROUGH), default="default", help="of products")
    parser.add_argument("--small", action="store_true", help="networks for the simulator")
    return parser.parse_args()


def main() -> None:
    """All checks at the same time, then the times one by one."""
    given = options()
    sys.path.insert(0, str(ROOT))
    import engine

    reason = engine.cuda.why_not()
    if reason:
        print(f"skipped: {reason}")
        return
    major, minor = engine.cuda.get_device_capability()
    say(f"{engine.cuda.get_device_name()}, sm_{major}{minor}")
    flags = [f"--{word}" for word in ("small", "compile") if getattr(given, word)]
    flags += ["--precision", given.precision]
    names = [name for name in given.networks.split(",") if name]
    runs = {name: launch(str(HERE / "gpu_steps.py"), name, *flags) for name in names}
    count = 0 if given.no_ops else max(1, (os.cpu_count() or 2) // 2)
    ops = [
        launch(str(HERE / "gpu_ops.py"), str(at), str(count), str(given.ops)) for at in range(count)
    ]
    quiet = ["-q", "-p", "no:cacheprovider", "--tb=line"]
    tests = [] if given.no_tests else [launch("-m", "pytest", *quiet, *map(str, TESTS))]
    wrong = check_steps(runs, ROUGH[given.precision])
    wrong += check_ops(ops) if ops else 0
    wrong += sum(map(check_tests, tests))
    simulated = "simulator" in engine.cuda.get_device_name()
    if simulated:
        say("nothing is timed: a simulator's times are its own")
        for run in runs.values():
            run.kill()
    rows, kernels = ([], []) if simulated else time_steps(runs)
    if rows:
        print("\n".join(kernels))
        print(f"\n| one step, ms | {' | '.join(WAYS)} | best peer / ours |")
        print(f"| --- |{' ---: |' * (len(WAYS) + 1)}")
        for row in rows:
            print(f"| {' | '.join(row)} |")
    say("everything is right" if not wrong else f"{wrong} parts are WRONG")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
