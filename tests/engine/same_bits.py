"""Six training steps in small, trained with 1, 2 and 4 threads, digests of all bits out, as JSON.

Run as a script, once with an empty cache of compiled code and once with what that run has left.
An argument ``one`` keeps the process on a single CPU. The networks are those of the benchmarks.
"""

import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import networks
from tasks import make_optimizers, make_step, rewind
from weights import first_weights
from workloads import batches, find

import engine
from codegen import effort
from codegen.cache import shared_cache

# batches of several blocks of sixteen lanes, the last one ragged, so that threads share unevenly
SMALL = {
    "lenet": (37, {}),
    "mlp": (50, {"widths": (70, 48, 33, 10)}),
    "transformer": (5, {"vocabulary": 40, "length": 16, "width": 32, "heads": 4, "feed": 48}),
    "resnet": (18, {"widths": (8, 16), "image": 16}),
    "lstm": (33, {"features": 20, "width": 24, "length": 9}),
    "gan": (17, {"latent": 16, "channels": (16, 8, 4)}),
}
THREADS, STEPS = (1, 2, 4), 3
effort.LITTLE = -1.0  # threads share these small steps


def digests(name: str) -> list[str]:
    """For each number of threads all losses and all weights after a few steps, as one digest."""
    batch, sizes = SMALL[name]
    workload = find(name)
    workload = dataclasses.replace(workload, batch=batch, sizes=workload.sizes | sizes)
    model = networks.build(engine, workload)
    first = {key: engine.from_numpy(array) for key, array in first_weights(workload).items()}
    optimizers = make_optimizers(engine, workload, model)
    step = engine.jit(make_step(engine, workload, model, optimizers, wrap=lambda part: part))
    data = [(engine.from_numpy(x), engine.from_numpy(y)) for x, y in batches(workload, STEPS)]
    found = []
    for threads in THREADS:
        engine.set_num_threads(threads)
        model.load_state_dict(first)
        rewind(optimizers)
        digest = hashlib.sha256()
        for x, y in data:
            for loss in step(x, y):
                digest.update(loss.numpy().tobytes())
        for key, tensor in model.state_dict().items():
            digest.update(key.encode() + tensor.numpy().tobytes())
        found.append(digest.hexdigest())
    assert len(step.programs) == 1
    return found


def main() -> None:
    """Print a digest for every network and number of threads, and what the cache answered."""
    if "one" in sys.argv[1:]:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = {name: digests(name) for name in SMALL}
    print(json.dumps({"digests": found, "cache": dataclasses.asdict(shared_cache().stats)}))


if __name__ == "__main__":
    main()
