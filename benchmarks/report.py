"""Measurements in, a table for the terminal, Markdown for the README and JSON out."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contest import COPY, OURS, TITLES, Contestant
from rich.table import Table
from rounds import Comparison, Times
from starts import Start
from workloads import find

BEGIN, END = "<!-- benchmark table -->", "<!-- end -->"
MOST_IDLE = 0.01  # of the time measured
MOST_FOREIGN = 0.05  # of the CPU time there was
Rows = list[list[str]]


def step_rows(comparisons: list[Comparison], frameworks: list[str]) -> Rows:
    """Median milliseconds for a step, the first row being the head."""
    rows = [["one step, ms", "threads", *(TITLES[f] for f in frameworks), "best peer / ours"]]
    training: dict[int, list[float]] = {}
    for comparison in comparisons:
        cells = [_milliseconds(comparison.best(framework)) for framework in frameworks]
        ratios, workload = comparison.ratios(), find(comparison.workload)
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
        if ratios and workload.optimizer:
            training.setdefault(comparison.threads, []).append(statistics.median(ratios))
        rows.append([workload.title, str(comparison.threads), *cells, ratio])
    for threads, found in training.items():
        if len(found) > 1:
            mean = f"{statistics.geometric_mean(found):.2f}"
            title = f"Geometric mean of {len(found)} training steps"
            rows.append([title, str(threads), *[""] * len(frameworks), mean])
    return rows


def memory_rows(comparisons: list[Comparison], frameworks: list[str]) -> Rows:
    """Peak MiB of the processes that were timed, each framework's fastest way with most threads."""
    rows = [["peak memory, MiB", *(TITLES[f] for f in frameworks)]]
    most = max((c.threads for c in comparisons), default=0)
    for comparison in comparisons:
        if comparison.threads == most:
            best = [comparison.best(framework) for framework in frameworks]
            cells = [f"{times.peak / 2**20:.0f}" if times else "-" for times in best]
            rows.append([find(comparison.workload).title, *cells])
    return rows


def bandwidth_rows(comparisons: list[Comparison], frameworks: list[str]) -> Rows:
    """What each framework moves at least, as a share of what a plain copy moves; maybe no rows."""
    rows = []
    for comparison in comparisons:
        workload, copy = find(comparison.workload), comparison.best(COPY)
        if copy is None:
            continue
        best = [comparison.best(framework) for framework in frameworks]
        cells = [f"{copy.median / times.median:.0%}" if times else "-" for times in best]
        speed = f"{workload.least_bytes / copy.median / 1e9:.1f}"
        rows.append([workload.title, str(comparison.threads), speed, *cells])
    head = ["share of memory bandwidth", "threads", "copy, GB/s", *(TITLES[f] for f in frameworks)]
    return [head, *rows] if rows else []


def start_rows(starts: list[Start]) -> Rows:
    """Cold and warm seconds and peak memory, one row a contestant, after the head."""
    head = ["to the first finished step", "", "cold, s", "warm, s", "peak cold, MiB", "warm, MiB"]
    rows = [head]
    for start in starts:
        cold, warm, *peaks = start.medians
        who = start.contestant
        memory = [f"{peak / 2**20:.0f}" for peak in peaks]
        title = find(who.workload).title
        rows.append([title, TITLES[who.framework], f"{cold:.2f}", f"{warm:.2f}", *memory])
    return rows


def variant_lines(comparisons: list[Comparison]) -> list[str]:
    """Which way of each peer was its fastest, and who could not run."""
    lines = []
    for comparison in comparisons:
        where = f"{comparison.workload}, {comparison.threads} thread(s)"
        chosen = [comparison.best(f) for f in TITLES if f != OURS]
        names = [f"{TITLES[t.contestant.framework]}: {t.contestant.variant}" for t in chosen if t]
        lines.append(f"{where}: fastest ways: " + "; ".join(names))
        lines += [f"{t.contestant} skipped: {t.skipped}" for t in comparison.times if t.skipped]
    return lines


def doubt_lines(comparisons: list[Comparison]) -> list[str]:
    """What disturbed the measurements: foreign processes, and contestants that did not sleep."""
    lines = []
    for comparison in comparisons:
        where = f"{comparison.workload}, {comparison.threads} thread(s)"
        if comparison.foreign > MOST_FOREIGN:
            share = f"{comparison.foreign:.0%}"
            lines.append(f"{where}: other processes took {share} of the CPUs: do not quote it")
        measured = sum(times.total for times in comparison.times)
        lines += [
            f"{times.contestant} burned {times.idle:.2f} s of CPU while others were measured"
            for times in comparison.times
            if times.idle > MOST_IDLE * measured
        ]
    return lines


def as_table(rows: Rows) -> Table:
    """A terminal table whose first row is the head."""
    table = Table()
    for at, name in enumerate(rows[0]):
        widest = max(map(len, name.split()), default=1)  # never cut "torch.compile"
        table.add_column(name, justify="left" if at == 0 else "right", min_width=widest)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def as_markdown(rows: Rows) -> str:
    """The same as Markdown."""
    rule = ["---"] + ["---:"] * (len(rows[0]) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def as_json(comparisons: list[Comparison], starts: list[Start]) -> dict[str, Any]:
    """Every measurement, turn by turn, with the medians that the tables show."""
    return {
        "steps": [_comparison(comparison) for comparison in comparisons],
        "starts": [asdict(start) for start in starts],
    }


def from_json(record: dict[str, Any]) -> list[Comparison]:
    """The comparisons of a written run; those that something disturbed are left out."""
    found = [
        Comparison(
            step["workload"],
            step["threads"],
            [_times_of(times) for times in step["contestants"]],
            step["foreign_cpu_share"],
        )
        for step in record["steps"]
    ]
    return [comparison for comparison in found if not doubt_lines([comparison])]


def update_readme(path: Path, text: str) -> None:
    """Put ``text`` between the two markers; ValueError where they are missing."""
    content = path.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines {BEGIN} and {END}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def _milliseconds(times: Times | None) -> str:
    return f"{times.median * 1e3:.2f}" if times else "-"


def _comparison(comparison: Comparison) -> dict[str, Any]:
    ratios = comparison.ratios()
    peer = comparison.best_peer
    return {
        "workload": comparison.workload,
        "threads": comparison.threads,
        "best_peer": str(peer.contestant) if peer else None,
        "foreign_cpu_share": comparison.foreign,
        "ratio": statistics.median(ratios) if ratios else None,
        "ratio_quartiles": statistics.quantiles(ratios) if len(ratios) > 1 else None,
        "contestants": [_times(times) for times in comparison.times],
    }


def _times_of(record: dict[str, Any]) -> Times:
    kept = {name: value for name, value in record.items() if name not in ("contestant", "median")}
    return Times(Contestant(**record["contestant"]), **kept)


def _times(times: Times) -> dict[str, Any]:
    median = times.median if times.turns else None
    return asdict(times) | {"median": median}
