"""Verdicts of single cases in, a report for a name out: counts, reasons, which kinds failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

PASSED, FAILED, LEFT_OUT = "passed", "failed", "left out"
KINDS = ("eager", "compiled", "method", "inplace", "errors", "half")


@dataclass(frozen=True)
class Verdict:
    """What became of one case."""

    status: str
    reason: str = ""
    gradient: bool = False  # whether gradients were compared too


@dataclass
class Report:
    """What became of every case of a name: by kind, and (not compiled) by dtype."""

    name: str
    owner: str = ""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    gradients: int = 0
    dtypes: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, verdicts: Iterable[Verdict], dtype: str = "") -> None:
        """Count the verdicts of a kind of comparison."""
        for verdict in verdicts:
            self.counts.setdefault(kind, Counter())[verdict.status] += 1
            if dtype and kind in {"eager", "half"}:
                self.dtypes.setdefault(dtype, Counter())[verdict.status] += 1
            self.gradients += verdict.gradient
            if verdict.status == FAILED:
                text = f"{dtype}: {verdict.reason}" if dtype else verdict.reason
                self.reasons.setdefault(kind, []).append(text)
            elif verdict.status == LEFT_OUT:
                self.left_out[verdict.reason] += 1

    def count(self, kind: str, status: str = PASSED) -> int:
        """How many cases of a kind had that verdict."""
        return self.counts.get(kind, Counter())[status]

    @property
    def failed(self) -> list[str]:
        """The kinds in which something disagrees."""
        return [kind for kind in KINDS if self.reasons.get(kind)]

    @property
    def stands(self) -> bool:
        """Whether values were compared, eager and compiled, and all agree; misuses and half
        precision, whose results are rounded more often or less, stand for themselves."""
        compared = self.count("eager") > 0 and self.count("compiled") > 0
        shapes_only = any(reason.startswith("values:") for reason in self.left_out)
        return compared and not shapes_only and not set(self.failed) - {"errors", "half"}

    @property
    def agreeing_dtypes(self) -> list[str]:
        """The dtypes in which every compared case agrees."""
        return [d for d, c in self.dtypes.items() if c[PASSED] and not c[FAILED]]

    def line(self) -> str:
        """One line of the table that a run prints."""
        parts = [self.name.ljust(42)]
        for kind in KINDS:
            counts = self.counts.get(kind, Counter())
            compared = counts[PASSED] + counts[FAILED]
            parts.append(f"{counts[PASSED]}/{compared}".rjust(8) if compared else "-".rjust(8))
        parts.append(str(self.gradients).rjust(6))
        told = next((f"{k}: {self.reasons[k][0]}" for k in self.failed), "")
        return "".join(parts) + ("  " + told[:150] if told else "")


def head() -> str:
    """The heading over ``Report.line``."""
    return "name".ljust(42) + "".join(kind.rjust(8) for kind in KINDS) + "  grads"


def total(reports: Iterable[Report]) -> list[str]:
    """The sums under the table."""
    listed = list(reports)
    stand = [report for report in listed if report.stands]
    lines = [f"{len(listed)} entries, {len(stand)} agree in every case, eager and compiled"]
    for kind in KINDS:
        sums: Counter[str] = sum((r.counts.get(kind, Counter()) for r in listed), Counter())
        lines.append(f"{kind}: {sums[PASSED]} of {sums[PASSED] + sums[FAILED]} cases agree")
    return lines
