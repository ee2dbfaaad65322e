"""A report in, what nobody expected out: every known disagreement stands in the file beside it.

`data/known.json` maps a reason to the `name/kind` for which it holds. The list is strict: a listed
kind that agrees is a surprise too, so it can only shrink with the truth.
"""

from __future__ import annotations

import json
from pathlib import Path

from cases.verdicts import KINDS, Report

PATH = Path(__file__).parents[1] / "data" / "known.json"
REASONS: dict[str, list[str]] = json.loads(PATH.read_text()) if PATH.exists() else {}
KNOWN = {entry: reason for reason, entries in REASONS.items() for entry in entries}


def surprises(report: Report) -> list[str]:
    """Disagreements that are not listed, and listed ones that are gone."""
    found = []
    for kind in KINDS:
        listed, failed = f"{report.name}/{kind}" in KNOWN, kind in report.failed
        if failed and not listed:
            found += [f"{kind}: {reason}" for reason in report.reasons[kind]]
        elif listed and not failed:
            found.append(f"{kind} agrees: take it from data/known.json")
    return found
