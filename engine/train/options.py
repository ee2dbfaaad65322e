"""A script's purpose and defaults in, the command line that training scripts share out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.random import manual_seed


def options(
    name: str, purpose: str, *, epochs: int, batch_size: int, lr: float
) -> argparse.ArgumentParser:
    """A parser with the options of every training script; add a script's own to it."""
    parser = argparse.ArgumentParser(prog=name, description=purpose)
    parser.add_argument("--epochs", type=positive, default=epochs)
    parser.add_argument("--batch-size", type=positive, default=batch_size)
    parser.add_argument("--lr", type=_rate, default=lr, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(f"{name}_out"), help="folder of results")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--stop-after", type=positive, help="stop early, after this epoch")
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    return parser


def read(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    quick: Mapping[str, Any],
    checkpoint: str = "checkpoint.safetensors",
) -> argparse.Namespace:
    """The options; ``quick`` are the defaults under ``--quick``. Seeds the engine.

    ``checkpoint`` of the result is the path of the run's file in the folder of results. A wrong
    option ends the script with a line that says what is right.
    """
    if parser.parse_known_args(arguments)[0].quick:
        parser.set_defaults(**quick)
    found = parser.parse_args(arguments)
    if found.out.exists() and not found.out.is_dir():
        parser.error(f"--out {found.out}: that is a file, and results need a folder")
    found.checkpoint = found.out / checkpoint
    if found.resume and not found.checkpoint.exists():
        parser.error(f"--resume: there is no {found.checkpoint}; train without it first")
    manual_seed(found.seed)
    return found


def positive(text: str) -> int:
    """The whole number that ``text`` says, for an option's ``type``; one of at least 1.

    >>> parser.add_argument("--width", type=positive, default=32)
    """
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
