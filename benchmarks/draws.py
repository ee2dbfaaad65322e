"""A number in, a small workload that nobody tuned for out: the sweep's random shapes."""

from __future__ import annotations

import random

from kinds import Workload

BATCHES = (1, 7, 13, 32, 50, 96)
CLASSES = (2, 3, 5, 10, 17)


def draw(seed: int) -> Workload:
    """MLPs, convolutional networks and transformers in turn; the sizes come from the seed."""
    makers = (_mlp, _convnet, _transformer)
    return makers[seed % len(makers)](random.Random(seed))


def _mlp(rng: random.Random) -> Workload:
    depth = rng.randint(1, 4)
    widths = tuple(rng.randint(3, 300) for _ in range(depth)) + (rng.choice(CLASSES),)
    batch = rng.choice(BATCHES)
    title = f"MLP {'-'.join(map(str, widths))}, batch {batch}"
    return Workload(title, "mlp", batch, "adam", 0.001, {"widths": widths})


def _convnet(rng: random.Random) -> Workload:
    kernel = rng.choice((3, 5))
    sizes = {
        "channels": tuple(rng.randint(3, 40) for _ in range(2)),
        "kernel": kernel,
        "image": rng.choice((24, 28, 30, 32)),
        "hidden": tuple(rng.randint(10, 130) for _ in range(rng.randint(1, 2))),
        "classes": rng.choice(CLASSES),
    }
    batch = rng.choice(BATCHES)
    channels, hidden = ("-".join(map(str, sizes[key])) for key in ("channels", "hidden"))
    what = f"{kernel}x{kernel} to {channels} channels, {hidden}-{sizes['classes']}"
    title = f"CNN {sizes['image']}x{sizes['image']}, {what}, batch {batch}"
    return Workload(title, "convnet", batch, "sgd", 0.01, sizes)


def _transformer(rng: random.Random) -> Workload:
    heads = rng.randint(1, 5)
    width = heads * rng.randint(5, 30)
    sizes = {
        "vocabulary": rng.randint(11, 150),
        "length": rng.randint(5, 70),
        "width": width,
        "heads": heads,
        "feed": rng.randint(width, 3 * width),
        "layers": rng.randint(1, 2),
    }
    batch = rng.choice(BATCHES)
    what = f"{sizes['layers']} x width {width}, {heads} heads, feed {sizes['feed']}"
    title = f"Transformer {what}, {sizes['length']} tokens, batch {batch}"
    return Workload(title, "transformer", batch, "adamw", 0.001, sizes)
