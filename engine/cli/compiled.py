"""FILE:FUNCTION in, the text of one level of its compilation out."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from codegen.cuda.estimate import GPUS
from codegen.cuda.inspect import ARCHITECTURES
from engine.cli import failure
from engine.cli.cuda_levels import CUDA_LEVELS
from engine.cli.levels import LEVELS, Request
from engine.creation import ones
from engine.jit import Step, jit
from ir.dims import Dim
from ir.text import ParseError, parse_type

LEVEL_NAMES = list(dict.fromkeys([*LEVELS, *CUDA_LEVELS]))


@click.command()
@click.argument("target", metavar="FILE:FUNCTION")
@click.option("--emit", type=click.Choice(LEVEL_NAMES), default="loops", show_default=True)
@click.option("--target", "machine", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--arch", type=click.Choice(list(ARCHITECTURES)), help="The GPU's own if not given.")
@click.option("--gpu", type=click.Choice(list(GPUS)), help="Whose bounds: --emit resources.")
@click.option("--input", "inputs", multiple=True, metavar="TYPE", help="As f32[64,1,32,32].")
@click.option("--kernel", default="", metavar="NAME", help="Only kernels whose name contains NAME.")
@click.option("--traceback", is_flag=True, help="Show whole tracebacks of errors.")
def command(
    target: str,
    emit: str,
    machine: str,
    arch: str | None,
    gpu: str | None,
    inputs: tuple[str, ...],
    kernel: str,
    traceback: bool,
) -> None:
    """Show FUNCTION of FILE at one level.

    \b
    graph     the traced ops, as the user's code asked for them
    grad      a scalar function with its gradient, or a training step, after the passes
    clusters  which ops share a kernel, why, and at what cost
    loops     each kernel's loops and equations, barriers, the memory plan
    numba     each kernel as Numba source
    llvm asm  the vector kernels, as built for this CPU

    With --target cuda: numba, ptx, and resources (registers, shared memory, occupancy, and the
    least time by a GPU's data sheet); the latter two need the extra `cuda`, and none needs a GPU.

    FUNCTION is a jitted step or a plain function of tensors. Its arguments come from --input (one
    for each), from FUNCTION.example_inputs, or from the module's example_inputs(); what the step
    was written around (networks, optimizers) is taken as it is. Nothing of the step is run.
    """
    levels = CUDA_LEVELS if machine == "cuda" else LEVELS
    if emit not in levels:
        raise click.UsageError(f"--target {machine} emits {', '.join(levels)}, not {emit}")
    try:
        module, function = load(target)
        arguments = example_arguments(module, function, inputs)
        step = function if isinstance(function, Step) else jit(function)
        text = levels[emit](Request(step, arguments, kernel, *_gpu(arch, gpu)))
    except click.ClickException:
        raise
    except Exception as error:
        failure.report(error, traceback)
        sys.exit(1)
    click.echo(text, nl=False)


def _gpu(arch: str | None, gpu: str | None) -> tuple[str, str]:
    """The architecture and the GPU of it: what was given, and what follows from it."""
    if gpu is None:
        gpu = next(key for key, one in GPUS.items() if one.architecture == (arch or "sm_80"))
    return arch or GPUS[gpu].architecture, gpu


def load(target: str) -> tuple[ModuleType, Callable[..., Any]]:
    """The module of FILE, imported, and its FUNCTION."""
    file, colon, name = target.rpartition(":")
    path = Path(file)
    if not colon or not name.isidentifier():
        raise click.UsageError(f"{target} is not FILE:FUNCTION, as in train.py:step")
    if not path.is_file():
        raise click.UsageError(f"no file {file}")
    sys.path.insert(0, str(path.resolve().parent))
    own_name = f"tracefuse_{path.stem}"  # a file called numpy.py must not replace numpy
    spec = importlib.util.spec_from_file_location(own_name, path)
    if spec is None or spec.loader is None:
        raise click.UsageError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[own_name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if isinstance(value, Step)]
        hint = f"; jitted there: {', '.join(known)}" if known else ""
        raise click.UsageError(f"{file} has no function {name} at its top level{hint}")
    return module, function


def example_arguments(
    module: ModuleType, function: Callable[..., Any], inputs: tuple[str, ...]
) -> tuple[Any, ...]:
    """What to trace ``function`` with."""
    if inputs:
        return tuple(_tensor(text) for text in inputs)
    for owner in (function, module):
        given = getattr(owner, "example_inputs", None)
        if given is not None:
            values = given() if callable(given) else given
            return tuple(values) if isinstance(values, tuple | list) else (values,)
    raise click.UsageError(
        f"which arguments? Give --input f32[64,10] for each, or define example_inputs() in "
        f"{Path(module.__file__ or '').name}"
    )


def _tensor(text: str) -> Any:
    try:
        type_ = parse_type(text)
    except (ParseError, SyntaxError):
        raise click.UsageError(f"--input {text} is no type; write it as f32[64,10]") from None
    if any(isinstance(size, Dim) for size in type_.shape):
        raise click.UsageError(f"--input {text}: sizes are numbers")
    return ones(*type_.shape, dtype=type_.dtype)
