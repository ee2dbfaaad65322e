"""The folder of examples in, a line for each out."""

from __future__ import annotations

import ast

import click
from rich.console import Console
from rich.table import Table

from engine.cli.run import example_files


@click.command()
def command() -> None:
    """List the examples of this checkout; `tracefuse run NAME` runs one."""
    files = example_files()
    if not files:
        raise click.ClickException("no examples here: they come with a checkout of the repository")
    table = Table("name", "what it does", box=None, header_style="bold")
    for path in files:
        words = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        table.add_row(path.stem, words.split("\n\n")[0].replace("\n", " "))
    Console().print(table)
