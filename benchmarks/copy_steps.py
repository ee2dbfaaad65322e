"""A workload that memory bounds in, the machine's own copy of as many bytes out.

Its time is that of any program which reads the leaf once and writes its gradient once, had it
nothing to compute: what the share of memory bandwidth is a share of. NumPy copies in one thread
for each part, without the interpreter's lock.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from contest import Contestant, Running
from workloads import batches, find


def prepare(contestant: Contestant, count: int) -> Running:
    """A copy or a multiplication into memory that exists, in as many threads as the others."""
    data = batches(find(contestant.workload), count)
    target = np.zeros_like(data[0][0])
    pool = ThreadPoolExecutor(contestant.threads)
    targets = np.array_split(target, contestant.threads)

    def fill(part: Any, source: Any) -> None:
        if contestant.variant == "copy":
            np.copyto(part, source)
        else:
            np.multiply(source, np.float32(2), out=part)

    def step(x: Any, y: Any) -> Any:
        if contestant.threads == 1:
            fill(target, x)
        else:
            list(pool.map(fill, targets, np.array_split(x, contestant.threads)))
        return ()

    return Running(data, step, lambda _: [], lambda: None)
