"""Graph in, an equal and cheaper graph out: one pure function per file, one runner."""

from ir.passes.canonicalise import canonicalise, canonicalise_nodes
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.expand import expand
from ir.passes.fold import fold
from ir.passes.runner import PIPELINE, Pass, run_passes
from ir.passes.simplify import simplify

__all__ = [
    "PIPELINE",
    "Pass",
    "canonicalise",
    "canonicalise_nodes",
    "cse",
    "dce",
    "expand",
    "fold",
    "run_passes",
    "simplify",
]
