"""The command line in, an exit code out: ``tracefuse COMMAND``.

Each command lies in a module of its own, imported when it is asked for: ``--help`` needs neither
the compiler nor the tables that the commands draw.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

# command -> (module, one line for the overview)
COMMANDS = {
    "run": ("engine.cli.run", "Run a script (or an example's name) with progress and a summary."),
    "examples": ("engine.cli.examples", "List the examples that `run` knows by name."),
    "compile": ("engine.cli.compiled", "Show one level of a function, from graph to assembly."),
    "roofline": ("engine.cli.roofline", "Hold a step's kernels against this machine's limits."),
    "doctor": ("engine.cli.doctor", "Check this machine: versions, CPU, driver, cache, CUDA."),
    "cache": ("engine.cli.cached", "Show, clear or verify the cache of compiled code."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: Any = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tracefuse")
def main() -> None:
    """Write a PyTorch-style step; run it as fused kernels that you can read."""
