"""Training steps in, our arena of intermediates beside PyTorch's peak of live tensors out.

    python benchmarks/live.py --only lenet,mlp,transformer,resnet,lstm,gan

PyTorch's side is one eager step after two others, with every operation watched: the bytes of all
storages that the step has made and that are still referenced, at their highest. Weights, optimizer
slots and the batch existed before and do not count; neither do buffers inside an operation, which
nobody can see (a convolution's scratch, for instance). Our side is the one block that the step's
intermediates lie in. Gradients count on both sides.
"""

from __future__ import annotations

import weakref
from typing import Any

import click
import networks
from tasks import make_optimizers, make_step
from weights import first_weights
from workloads import batches, find

TRAINED = "lenet,mlp,transformer,resnet,lstm,gan"


@click.command()
@click.option("--only", default=TRAINED, show_default=True)
def main(only: str) -> None:
    """A table: MiB of live tensors in PyTorch, MiB of our arena."""
    click.echo("| intermediates, MiB | tracefuse's arena | PyTorch's live tensors | ratio |")
    click.echo("| --- | ---: | ---: | ---: |")
    for name in only.split(","):
        ours, theirs = arena(name) / 2**20, live(name) / 2**20
        title = find(name).title
        click.echo(f"| {title} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")


def prepared(torch: Any, name: str) -> tuple[Any, Any, Any]:
    """The step of a workload, plain, and one batch; ``torch`` is either framework."""
    workload = find(name)
    model = networks.build(torch, workload)
    found = {key: torch.from_numpy(array) for key, array in first_weights(workload).items()}
    model.load_state_dict(found)
    optimizers = make_optimizers(torch, workload, model)
    step = make_step(torch, workload, model, optimizers, wrap=lambda part: part)
    ((x, y),) = batches(workload, 1)
    return step, torch.from_numpy(x), torch.from_numpy(y)


def arena(name: str) -> int:
    """Bytes of the engine's arena."""
    import engine

    step, x, y = prepared(engine, name)
    compiled = engine.jit(step)
    compiled(x, y)
    (entry,) = compiled.programs
    return int(entry.bound.program.arena_bytes)


def live(name: str) -> int:
    """Bytes of storages that a step of PyTorch has made, when there are most of them."""
    import torch

    step, x, y = prepared(torch, name)
    for _ in range(2):
        step(x, y)
    with watching() as watched:
        step(x, y)
    return int(watched.most)


def watching() -> Any:
    """A mode that counts the bytes of living storages made under it."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Watching(TorchDispatchMode):  # type: ignore[misc,unused-ignore]
        """``most``: the highest sum so far."""

        def __init__(self) -> None:
            super().__init__()
            self.known: dict[int, Any] = {}
            self.now = self.most = 0

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            outside = {key(t) for t in tree_leaves((args, kwargs)) if is_tensor(t)}
            out = function(*args, **(kwargs or {}))
            for tensor in tree_leaves(out):
                if is_tensor(tensor) and key(tensor) not in outside:
                    self.meet(tensor.untyped_storage())
            return out

        def meet(self, storage: Any) -> None:
            at, size = storage._cdata, storage.nbytes()
            if at not in self.known:
                self.known[at] = weakref.ref(storage, lambda _: self.leave(at, size))
                self.now += size
                self.most = max(self.most, self.now)

        def leave(self, at: int, size: int) -> None:
            del self.known[at]
            self.now -= size

    def is_tensor(item: Any) -> bool:
        import torch

        return isinstance(item, torch.Tensor)

    def key(tensor: Any) -> int:
        return int(tensor.untyped_storage()._cdata)

    return Watching()


if __name__ == "__main__":
    main()
