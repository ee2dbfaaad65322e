"""What is compared: one contestant is a framework's way of running one workload.

A framework that has several good ways enters all of them, and its fastest one counts: nobody is
held back by a layout or an optimizer that does not suit it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

TITLES = {
    "engine": "tracefuse",
    "eager": "PyTorch eager",
    "compile": "torch.compile",
    "jax": "JAX",
}
OURS = "engine"
MODULES = {
    "engine": "engine_steps",
    "eager": "torch_steps",
    "compile": "compile_steps",
    "jax": "jax_steps",
}
# The first of each is what most people write; --quick runs that one alone.
VARIANTS = {
    ("engine", "lenet"): ("jit",),
    ("engine", "mlp"): ("jit",),
    ("eager", "lenet"): (
        "contiguous, fused",
        "contiguous, foreach",
        "channels last, fused",
        "channels last, foreach",
    ),
    ("eager", "mlp"): ("contiguous, fused", "contiguous, foreach"),
    ("compile", "lenet"): (
        "model",
        "model, channels last",
        "model, cpp wrapper",
        "whole step",
        "whole step, channels last",
    ),
    ("compile", "mlp"): ("model", "model, cpp wrapper", "whole step"),
    ("jax", "lenet"): ("NCHW", "NHWC", "NHWC, pool by reshape"),
    ("jax", "mlp"): ("jit",),
}


@dataclass(frozen=True)
class Contestant:
    """One process: a framework, its way, the workload, the number of threads."""

    framework: str
    variant: str
    workload: str
    threads: int

    def __str__(self) -> str:
        plural = "" if self.threads == 1 else "s"
        title = TITLES[self.framework]
        return f"{title} ({self.variant}), {self.workload}, {self.threads} thread{plural}"

    def to_json(self) -> str:
        """The command line argument that a worker takes."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Running:
    """A framework ready to train: what a worker drives, alike for all.

    ``step`` may return before the work is done; ``finish`` waits for everything and gives the
    loss. ``restore`` puts weights and optimizer state back to the start, in place.
    """

    batches: list[tuple[Any, Any]]
    step: Callable[[Any, Any], Any]
    finish: Callable[[Any], float]
    restore: Callable[[], None]


class UnavailableError(Exception):
    """Why a contestant cannot run on this machine."""


def enter(frameworks: list[str], workload: str, threads: int, first_only: bool) -> list[Contestant]:
    """Every contestant of one comparison."""
    return [
        Contestant(framework, variant, workload, threads)
        for framework in frameworks
        for variant in VARIANTS[framework, workload][: 1 if first_only else None]
    ]
