"""What is compared: one contestant is a framework's way of running one workload.

A framework that has several good ways enters all of them, and its fastest one counts: nobody is
held back by a layout or an optimizer that does not suit it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from kinds import Workload
from workloads import find

TITLES = {
    "engine": "tracefuse",
    "eager": "PyTorch eager",
    "compile": "torch.compile",
    "jax": "JAX",
    "mlx": "MLX",
}
OURS = "engine"
USUAL = "engine,eager,compile,jax"  # MLX has to be installed by hand
COPY = "copy"  # no contestant: the memory's own speed, measured among them
MODULES = {
    "engine": "engine_steps",
    "eager": "torch_steps",
    "compile": "compile_steps",
    "jax": "jax_steps",
    "mlx": "mlx_steps",
    COPY: "copy_steps",
}
_IMAGES = ("convnet", "resnet", "gan")


def variants(framework: str, workload: Workload) -> tuple[str, ...]:
    """A framework's ways; the first is what most people write, and --quick runs that one alone."""
    ways = {"engine": _engine, "eager": _eager, "compile": _compile, "jax": _jax, "mlx": _mlx}
    ways[COPY] = _copy
    return ways[framework](workload)


def _engine(workload: Workload) -> tuple[str, ...]:
    return ("jit",)


def _copy(workload: Workload) -> tuple[str, ...]:
    return ("copy", "scale")


def _eager(workload: Workload) -> tuple[str, ...]:
    if workload.leaf:
        return ("eager",)
    layouts = ("contiguous", "channels last") if workload.family in _IMAGES else ("contiguous",)
    kinds = ("fused", "foreach") if workload.optimizer else ("inference",)
    return tuple(f"{layout}, {kind}" for layout in layouts for kind in kinds)


def _compile(workload: Workload) -> tuple[str, ...]:
    if workload.leaf:
        return ("model", "model, cpp wrapper")
    ways = ("model", "model, channels last") if workload.family in _IMAGES else ("model",)
    if not workload.optimizer:
        return (*ways, "model, cpp wrapper", "model, freezing")
    if workload.family in ("lstm", "gan"):  # see compile_steps.py
        return (*ways, "model, cpp wrapper")
    whole = tuple(way.replace("model", "whole step") for way in ways)
    return (*ways, "model, cpp wrapper", *whole)


def _mlx(workload: Workload) -> tuple[str, ...]:
    return ("compile", "eager")


def _jax(workload: Workload) -> tuple[str, ...]:
    if workload.family == "convnet":
        return ("NCHW", "NHWC", "NHWC, pool by reshape")
    if workload.family in _IMAGES:
        return ("NCHW", "NHWC")
    return ("scan", "scan, unroll 5") if workload.family == "lstm" else ("jit",)


@dataclass(frozen=True)
class Contestant:
    """One process: a framework, its way, the workload, the number of threads."""

    framework: str
    variant: str
    workload: str
    threads: int

    def __str__(self) -> str:
        plural = "" if self.threads == 1 else "s"
        title = TITLES.get(self.framework, self.framework)
        return f"{title} ({self.variant}), {self.workload}, {self.threads} thread{plural}"

    def to_json(self) -> str:
        """The command line argument that a worker takes."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Running:
    """A framework ready to train: what a worker drives, alike for all.

    ``step`` may return before the work is done; ``finish`` waits for everything and gives the
    results as NumPy arrays: losses, and what else must agree. ``restore`` puts weights and
    optimizer state back to the start, in place.
    """

    batches: list[tuple[Any, Any]]
    step: Callable[[Any, Any], Any]
    finish: Callable[[Any], list[Any]]
    restore: Callable[[], None]


class UnavailableError(Exception):
    """Why a contestant cannot run on this machine."""


def enter(frameworks: list[str], workload: str, threads: int, first_only: bool) -> list[Contestant]:
    """Every contestant of one comparison, and the copy where memory is what bounds the work."""
    kind = find(workload)
    return [
        Contestant(framework, variant, workload, threads)
        for framework in [*frameworks, *([COPY] if kind.least_bytes else [])]
        for variant in variants(framework, kind)[: 1 if first_only and framework != COPY else None]
    ]
