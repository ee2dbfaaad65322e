"""Cases of the op table in, what a GPU makes of each against the interpreter out.

    python benchmarks/gpu_ops.py FIRST STEP LAST

Runs the cases FIRST, FIRST + STEP, ... below LAST in this process, and prints one line of JSON for
each that is wrong, then the counts. Several processes share the table: kernels take a while to
compile, and Python compiles one at a time.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from codegen.cuda.run import CudaProgram
from ir import make
from ir.errors import UnsupportedError
from ir.graph import Graph, build
from ir.interpret import interpret
from ir.ops import OPS
from ir.table import Case, Op
from ir.types import TensorType, dtype_of, is_float

CLOSE = 2e-6  # of the largest value: libdevice's functions and NumPy's differ by a few ulp
CASES = [(op, at, case) for op in OPS.values() for at, case in enumerate(op.cases)]


def inputs_of(case: Case, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """Input nodes of a case, and random arrays for them."""
    names = case.dtypes or ("f32",) * len(case.shapes)
    types = [TensorType(dtype_of(n), s) for n, s in zip(names, case.shapes, strict=True)]
    nodes = [make.input_node(kind, f"x{at}") for at, kind in enumerate(types)]
    arrays = []
    for kind in types:
        drawn = rng.uniform(case.low, case.high, kind.shape)
        flags = rng.random(kind.shape) < 0.5
        arrays.append(np.asarray(flags if kind.dtype.kind == "b" else drawn).astype(kind.dtype))
    return nodes, arrays


def check(op: Op, case: Case) -> str:
    """What is wrong with the GPU's results; empty where they are the interpreter's."""
    nodes, arrays = inputs_of(case, np.random.default_rng(len(op.name)))
    graph = Graph(tuple(nodes), (build(op, nodes, dict(case.attrs)),))
    with np.errstate(all="ignore"):
        (wanted,) = interpret(graph, arrays)
        (found,) = CudaProgram(graph).run([np.array(array) for array in arrays])
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return f"{found.dtype}{found.shape} for {wanted.dtype}{wanted.shape}"
    scale = 1.0
    if is_float(wanted.dtype) and wanted.size:
        scale = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-30))
    close = np.isclose(found, wanted, CLOSE, CLOSE * scale, equal_nan=True)
    return "" if close.all() else f"{int((~close).sum())} of {close.size} elements differ"


def main() -> None:
    """A share of the cases."""
    first, step, last = map(int, sys.argv[1:4])
    counts = {"right": 0, "wrong": 0, "without a spelling": 0}
    for op, at, case in CASES[first:last:step]:
        try:
            wrong = check(op, case)
        except UnsupportedError:
            counts["without a spelling"] += 1
            continue
        except Exception as error:  # a case that fails must not end the others
            wrong = f"{type(error).__name__}: {(str(error) or 'no text').splitlines()[0]}"
        counts["wrong" if wrong else "right"] += 1
        if wrong:
            print(json.dumps({"case": f"{op.name} {at}", "wrong": wrong}), flush=True)
    print(json.dumps({"counts": counts}), flush=True)


if __name__ == "__main__":
    main()
