"""PyTorch's databases in, the table of agreement out: docs/coverage.md.

python tests/parity/table.py --write   # some minutes: it compares everything
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import torch
from cases.known import KNOWN
from cases.names import full_name, left_out, present
from cases.verdicts import FAILED, KINDS, PASSED, Report
from opinfo import reports
from torch.testing._internal.common_methods_invocations import op_db

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
NAMES = {"inplace": "in place"}
SHORT = {"float32": "f32", "float64": "f64", "uint8": "u8", "bool": "bool"}
SHORT |= {"float16": "f16", "bfloat16": "bf16"}
SHORT |= {f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)}
VARIANTS = {full_name(info): info.name for info in op_db}
INTRODUCTION = """\
# Agreement with PyTorch, name by name

Made by `python tests/parity/table.py --write` from the cases of PyTorch {version}'s own databases
(OpInfo and ModuleInfo), so nobody here chose them: a spread over each entry's samples, one of them
strided. A cell is *cases that agree / cases compared*. "Eager" compares values and, for floats,
gradients in every dtype; "compiled" runs both passes as one jitted step; "errors" misuses the name
and wants the same kind of exception. Values agree if each element lies within twice the tolerances
of `torch.testing`, or, in float32, about as near to PyTorch's float64 result as PyTorch's own
float32 result does. "Half" is float16 and bfloat16, eager and compiled, of the entries that have
them in PyTorch on the CPU: held to PyTorch's result of the same dtype within two units in the last
place (of the element, or of the tensor's largest, which a sum is rounded to), or about as near to
the float64 result as PyTorch's. The dtypes are those in which every compared case agrees.
"""


def row(report: Report) -> str:
    """One line of the table."""
    cells = []
    for kind in KINDS:
        counts = report.counts.get(kind, Counter())
        compared = counts[PASSED] + counts[FAILED]
        cells.append(f"{counts[PASSED]}/{compared}" if compared else "")
    dtypes = " ".join(SHORT.get(dtype, dtype) for dtype in report.agreeing_dtypes)
    return f"| `{report.name}` | {dtypes} | {' | '.join(cells)} | {report.gradients} |"


def table(listed: list[Report]) -> list[str]:
    """The table of some entries."""
    titles = " | ".join(NAMES.get(kind, kind) for kind in KINDS)
    head = f"| name | dtypes | {titles} | gradients |"
    return [head, "| --- | --- |" + " ---: |" * (len(KINDS) + 1), *map(row, listed)]


def totals(listed: list[Report]) -> list[str]:
    """How much agrees."""
    stand = [report for report in listed if report.stands]
    public = {public_name(report.name) for report in listed}
    wrong = {public_name(report.name) for report in listed if not report.stands}
    raising = {public_name(report.name) for report in stand if "errors" not in report.failed}
    lines = [
        f"- **{len(public - wrong)} of {len(public)} public names agree in every compared case, "
        "eager and compiled**, gradients, methods and in-place forms included; "
        f"{len(raising - wrong)} of them also raise as PyTorch does",
        "- names whose values are random, or that work outside `jit` only, are not among these",
        f"- {len(stand)} of {len(listed)} entries do (a name may have several, such as "
        "`div.floor_rounding`)",
    ]
    for kind in KINDS:
        sums = sum((report.counts.get(kind, Counter()) for report in listed), Counter[str]())
        shown = NAMES.get(kind, kind)
        lines.append(f"- {shown}: {sums[PASSED]} of {sums[PASSED] + sums[FAILED]} cases agree")
    return lines


def public_name(name: str) -> str:
    """The name without the database's variant."""
    return VARIANTS.get(name, name)


def omissions(listed: list[Report]) -> list[str]:
    """Every reason for which cases were left out, with the names and how many of each."""
    found: dict[str, list[str]] = {}
    for report in listed:
        for reason, count in report.left_out.items():
            found.setdefault(reason, []).append(f"`{report.name}` ({count})")
    return [f"- {reason}: {', '.join(found[reason])}" for reason in sorted(found)]


def absent() -> list[str]:
    """Entries of the database that take no part, by reason."""
    found: dict[str, list[str]] = {}
    for info in sorted(op_db, key=full_name):
        why = left_out(info.name) or ("" if present(info) else "the engine has no such name")
        if why:
            found.setdefault(why, []).append(f"`{full_name(info)}`")
    return [f"- {reason}: {', '.join(found[reason])}" for reason in sorted(found)]


def disagreements() -> list[str]:
    """What is known to disagree, by reason."""
    found: dict[str, list[str]] = {}
    for entry, reason in KNOWN.items():
        found.setdefault(reason, []).append(f"`{entry}`")
    return [f"- {reason}: {', '.join(entries)}" for reason, entries in found.items()]


def page(listed: list[Report]) -> str:
    """The whole page."""
    functions = [report for report in listed if report.name in VARIANTS]
    layers = [report for report in listed if report.name not in VARIANTS]
    parts = [INTRODUCTION.format(version=torch.__version__.split("+")[0]), *totals(listed)]
    parts += ["", "## What disagrees", "", "Entry and kind, by reason.", "", *disagreements()]
    parts += ["", "## Functions and methods", "", *table(functions)]
    parts += ["", "## Modules", "", *table(layers)]
    parts += ["", "## Cases left out", "", "By reason, with the number of cases.", ""]
    parts += [*omissions(listed), "", "## Entries left out", "", *absent()]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Compare everything, and print or write the page."""
    torch.set_num_threads(1)
    text = page(list(reports([])))
    if "--write" in sys.argv:
        PAGE.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
