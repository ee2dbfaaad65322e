"""A function for one epoch in, a run out: figures as they come, a checkpoint, and resuming."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from engine.random import get_rng_state, set_rng_state
from engine.serialize import CheckpointError, load, save

_KIND = "tracefuse.fit"
_WIDTH = 12


class Stateful(Protocol):
    """A module, an optimizer, a schedule: what a checkpoint holds."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


def fit(
    epoch: Callable[[int], Mapping[str, float]],
    epochs: int,
    parts: Mapping[str, Stateful],
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    console: Console | None = None,
) -> list[dict[str, float]]:
    """Call ``epoch(number)`` for the numbers 1 to ``epochs``; returns the figures of each.

    After every epoch its figures are printed and ``checkpoint`` is replaced, whole or not at all:
    the ``parts`` by name, the default stream of random numbers, and all figures so far. With
    ``resume`` the run goes on from there, bit for bit as if it had not stopped, provided that an
    epoch depends on the parts, that stream and its number alone. ``stop_after`` ends the run
    early, after that epoch.

    Raises FileNotFoundError where there is nothing to resume, and CheckpointError where the
    checkpoint is damaged or holds other parts than these; then no part has been touched.

    >>> history = fit(epoch, 20, {"net": net, "optimizer": optimizer}, checkpoint=path)
    """
    console = console or Console()
    history: list[dict[str, float]] = []
    if resume:
        if checkpoint is None:
            raise ValueError("resume: there is no checkpoint to resume from")
        history = _restore(checkpoint, parts)
        console.print(f"resumed after epoch {len(history)} from {checkpoint}")
    last = epochs if stop_after is None else min(epochs, stop_after)
    for number in range(len(history) + 1, last + 1):
        started = time.perf_counter()
        figures = {name: float(value) for name, value in epoch(number).items()}
        spent = time.perf_counter() - started
        history.append(figures)
        if number == 1 or len(history) == 1:
            console.print(_line(["epoch", *figures, "time"]), highlight=False)
        words = [str(number), *(f"{value:.4g}" for value in figures.values()), f"{spent:.1f} s"]
        console.print(_line(words), highlight=False)
        if checkpoint is not None:
            _store(checkpoint, parts, history)
    return history


def _line(words: list[str]) -> str:
    return words[0].rjust(5) + "".join(word.rjust(max(_WIDTH, len(word) + 2)) for word in words[1:])


def _store(path: Path, parts: Mapping[str, Stateful], history: list[dict[str, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    states = {name: part.state_dict() for name, part in parts.items()}
    save({"kind": _KIND, "parts": states, "random": get_rng_state(), "history": history}, path)


def _restore(path: Path, parts: Mapping[str, Stateful]) -> list[dict[str, float]]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no checkpoint to resume; train without resuming")
    found = load(path)
    if found.get("kind") != _KIND:
        raise CheckpointError(f"{path}: not the checkpoint of a run (engine.train.fit)")
    states = found["parts"]
    if set(states) != set(parts):
        raise CheckpointError(
            f"{path}: it holds {sorted(states)}, and this run has {sorted(parts)}; was it made by "
            "another script?"
        )
    before = {name: part.state_dict() for name, part in parts.items()}
    before = {name: _copied(state) for name, state in before.items()}
    for name, part in parts.items():
        try:
            part.load_state_dict(states[name])
        except (RuntimeError, ValueError, KeyError) as error:
            for other, state in before.items():
                if other == name:
                    break
                parts[other].load_state_dict(state)
            raise CheckpointError(
                f"{path}: '{name}' is of another architecture: {error}; give the options that it "
                "was made with, or train without resuming"
            ) from None
    set_rng_state(found["random"])
    history: list[dict[str, float]] = found["history"]
    return history


def _copied(state: Any) -> Any:
    """The same structure with tensors of its own."""
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_copied(value) for value in state)
    return state.detach().clone() if hasattr(state, "detach") else state
