"""An order from same_script.py in, one training of an example out, with PyTorch if so ordered.

Under PyTorch the modules that the example imports as ``engine...`` are torch's, and two of them are
stand-ins: data sets take NumPy arrays, and runs are not checkpointed. The example ends where its
first training ends: baselines and pictures are the same with both.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
Function = Callable[..., Any]
STEPS = [0.0]  # seconds in jitted functions


class Trained(Exception):
    """The example's first training has ended: its figures and its times."""


def main(order: Mapping[str, Any]) -> None:
    """Run the example until it is trained, and print its figure and its seconds as JSON."""
    train = importlib.import_module("engine.train")  # options and pictures are nobody's tensors
    ours = order["framework"] == "tracefuse"
    train.fit = timed(train.fit if ours else epochs_only)  # type: ignore[attr-defined]
    if ours:
        front = importlib.import_module("engine")
        front.jit = counted(front.jit)  # type: ignore[attr-defined]
    else:
        exchange(order["threads"], order["compiled"], train)
    module = load(order["name"])
    try:
        module.main(order["arguments"])
    except Trained as trained:
        found = dict(trained.args[0])
        print(json.dumps({"figure": found.pop("history")[-1][order["figure"]], **found}))


def timed(fit: Function) -> Function:
    """``fit``, which raises Trained with its history and seconds in place of returning."""

    def run(epoch: Function, *args: Any, **kwargs: Any) -> Any:
        later = {"seconds": 0.0, "cpu": 0.0}

        def timed_epoch(number: int) -> Any:
            started, busy = time.perf_counter(), time.process_time()
            figures = epoch(number)
            if number > 1:
                later["seconds"] += time.perf_counter() - started
                later["cpu"] += time.process_time() - busy
            return figures

        started, busy = time.perf_counter(), time.process_time()
        history = fit(timed_epoch, *args, **kwargs)
        spent = {
            "seconds": time.perf_counter() - started,
            "cpu": time.process_time() - busy,
            "steps": STEPS[0],
            "later": later,  # epochs than the first
        }
        raise Trained({"history": history, **spent})

    return run


def counted(jit: Function) -> Function:
    """``jit`` whose functions add the time they take to STEPS."""

    def jit_counted(function: Function) -> Function:
        fast = jit(function)

        def call(*args: Any) -> Any:
            started = time.perf_counter()
            result = fast(*args)
            STEPS[0] += time.perf_counter() - started
            return result

        return call

    return jit_counted


def epochs_only(
    epoch: Callable[[int], Mapping[str, float]], epochs: int, parts: Any, **_: Any
) -> list[dict[str, float]]:
    """What ``engine.train.fit`` does without checkpoints."""
    history = []
    for number in range(1, epochs + 1):
        history.append({name: float(value) for name, value in epoch(number).items()})
        print(number, history[-1], file=sys.stderr)
    return history


def exchange(threads: int, compiled: bool, train: ModuleType) -> None:
    """Put torch where the examples import engine."""
    vision = importlib.import_module("engine.vision")
    torch = importlib.import_module("torch")
    data = importlib.import_module("torch.utils.data")
    torch.set_num_threads(threads)
    front = Front(torch, counted(torch.compile if compiled else (lambda function: function)))

    class Arrays(data.TensorDataset):  # type: ignore[misc, name-defined]
        """A data set of NumPy arrays, taken a batch at a time as ours is."""

        def __init__(self, *arrays: Any) -> None:
            super().__init__(*(torch.as_tensor(array) for array in arrays))

        def take(self, indices: Any) -> tuple[Any, ...]:
            """The rows ``indices`` of every array."""
            return tuple(tensor[indices] for tensor in self.tensors)

    class Batches:
        """Whole batches by one indexing, as fast as PyTorch can slice them."""

        def __init__(
            self, held: Any, batch_size: int, shuffle: bool = False, drop_last: bool = False
        ) -> None:
            self.held, self.size, self.shuffle, self.drop = held, batch_size, shuffle, drop_last

        def __iter__(self) -> Any:
            count = len(self.held)
            order = torch.randperm(count) if self.shuffle else torch.arange(count)
            end = count - count % self.size if self.drop else count
            for start in range(0, end, self.size):
                rows = order[start : min(start + self.size, end)]
                yield self.held.take(rows if type(self.held) is Arrays else rows.numpy())

    loading = ModuleType("engine.data")
    loading.TensorDataset, loading.DataLoader = Arrays, Batches  # type: ignore[attr-defined]
    boxes = ModuleType("engine.vision")  # boxes are found by our own functions on either side
    boxes.batched_nms = on_arrays(vision.batched_nms, torch)  # type: ignore[attr-defined]
    options = train.options

    def seeded(*args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = options(*args, **kwargs)
        parse = parser.parse_args

        def parsed(*given: Any, **more: Any) -> Any:
            found = parse(*given, **more)
            torch.manual_seed(found.seed)
            return found

        parser.parse_args = parsed  # type: ignore[method-assign]
        return parser

    train.options = seeded  # type: ignore[attr-defined]
    functional = importlib.import_module("torch.nn.functional")
    replaced = {
        "engine": front,
        "engine.nn": torch.nn,
        "engine.nn.functional": functional,
        "engine.data": loading,
        "engine.vision": boxes,
    }
    sys.modules.update(replaced)


class Front(ModuleType):
    """torch, but for ``jit``: torch's own module of that name is needed by the rest of it."""

    def __init__(self, torch: ModuleType, jit: Function) -> None:
        super().__init__("engine")
        self.torch, self.jit = torch, jit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name)


def on_arrays(function: Function, torch: Any) -> Function:
    """``function`` of our tensors for those of ``torch``."""
    from_numpy = importlib.import_module("engine.creation").from_numpy

    def call(*args: Any) -> Any:
        ours = [from_numpy(a.numpy()) if isinstance(a, torch.Tensor) else a for a in args]
        return torch.from_numpy(np.array(function(*ours).numpy()))

    return call


def load(name: str) -> ModuleType:
    """The example's module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
