"""Names or owners in, a line for each entry of PyTorch's databases out.

    python tests/parity/opinfo.py                      # everything that the engine has
    python tests/parity/opinfo.py relu where linalg.*  # names (shell patterns)
    python tests/parity/opinfo.py --owner B --kind errors --verbose

Whoever wrote a function does not choose its cases: they are PyTorch's own. A function takes part
as soon as ``engine`` has its name, so nothing here lists what is covered.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2]))
from cases import modules, ops
from cases.names import full_name, left_out, owner, present
from cases.verdicts import KINDS, Report, head, total
from torch.testing._internal.common_methods_invocations import op_db


def reports(names: list[str], owners: str = "", kinds: tuple[str, ...] = ()) -> Iterator[Report]:
    """A report for each entry whose name matches, functions first."""
    for info in sorted(op_db, key=full_name):
        mine = wanted(full_name(info), names) and (not owners or owner(info.name) in owners)
        if mine and present(info) and not left_out(info.name):
            yield ops.report(info, kinds)
    for info in modules.entries():
        if wanted(info.name, names) and (not owners or modules.owner(info.name) in owners):
            yield modules.report(info, kinds)


def wanted(name: str, patterns: list[str]) -> bool:
    """Whether a pattern (or the name without its variant) matches."""
    return not patterns or any(
        fnmatch.fnmatch(name, p) or fnmatch.fnmatch(name, f"{p}.*") for p in patterns
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="names or patterns")
    parser.add_argument("--owner", default="", help="letters of parts, such as AB")
    parser.add_argument("--kind", action="append", choices=KINDS, default=[])
    parser.add_argument("--failed", action="store_true", help="only entries that disagree")
    parser.add_argument("--verbose", action="store_true", help="every reason")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(head())
    done = []
    for report in reports(given.names, given.owner, tuple(given.kind)):
        done.append(report)
        if report.failed or not given.failed:
            print(report.line(), flush=True)
        if given.verbose:
            for kind, reasons in report.reasons.items():
                print(*(f"    {kind}: {reason}" for reason in reasons), sep="\n")
            print(*(f"    left out ({n}): {why}" for why, n in report.left_out.items()), sep="\n")
    print(*total(done), sep="\n")


if __name__ == "__main__":
    main()
