"""A workload in, JAX's step out: one jitted function whose state is donated.

Images come in both layouts, and LeNet also with pooling written as reshape and max, whose gradient
spares XLA's slow select-and-scatter; the LSTM is a scan. Optimizers are written out; XLA fuses
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from contest import Contestant, Running
from jax_layers import Arrays, binary_entropy, entropy, turned
from jax_networks import discriminator, forward_of, generator, is_last
from kinds import BETA2, DECAY, EPSILON, MOMENTUM, Workload
from weights import STATISTICS, first_weights
from workloads import batches, find

State = dict[str, Any]


def prepare(contestant: Contestant, count: int) -> Running:
    """The jitted step over ``count`` batches."""
    _keep_compiled_code()
    workload, variant = find(contestant.workload), contestant.variant
    compiled = jax.jit(_function(workload, variant), donate_argnums=0)
    last = is_last(variant)
    holder = [_first_state(workload, last)]

    def step(x: Any, y: Any) -> Any:
        holder[0], found = compiled(holder[0], x, y)
        return found

    def finish(found: Any) -> list[Any]:
        jax.block_until_ready(holder[0])
        return [np.asarray(x) for x in found]

    def restore() -> None:
        holder[0] = jax.block_until_ready(_first_state(workload, last))

    def loaded(array: Any) -> Any:
        array = array.transpose(0, 2, 3, 1) if last and array.ndim == 4 else array
        return jnp.asarray(array, jnp.int32 if array.dtype.kind == "i" else jnp.float32)

    data = [(loaded(x), loaded(y)) for x, y in batches(workload, count)]
    return Running(data, step, finish, restore)


def _keep_compiled_code() -> None:
    """The persistent cache, also for programs that compile in under a second."""
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _function(workload: Workload, variant: str) -> Callable[..., Any]:
    """state, x, y -> the next state and the results."""
    if workload.leaf:
        value = _chain if workload.family == "chain" else _reductions
        differentiate = jax.value_and_grad(value)
        return lambda state, x, numbers: (state, differentiate(x, numbers))
    if workload.family == "gan":
        return _gan(workload, is_last(variant))
    forward = forward_of(workload, variant)
    if not workload.optimizer:
        return lambda state, x, y: (state, (forward(state["params"], state["stats"], x)[0],))

    def loss_at(params: Arrays, stats: Arrays, x: Any, y: Any) -> Any:
        scores, new = forward(params, stats, x)
        return entropy(scores, y), new

    def train(state: State, x: Any, y: Any) -> Any:
        differentiate = jax.value_and_grad(loss_at, has_aux=True)
        (loss, new), grads = differentiate(state["params"], state["stats"], x, y)
        return _updated(workload, state, grads) | {"stats": new}, (loss,)

    return train


def _gan(workload: Workload, last: bool) -> Callable[..., Any]:
    """The discriminator learns from real and faked images, then the generator from its verdict."""

    def judged(mine: Arrays, stats: Arrays, real: Any, fake: Any) -> Any:
        good, new = discriminator(mine, stats, real, last)
        bad, new = discriminator(mine, new, fake, last)
        return binary_entropy(good, True) + binary_entropy(bad, False), new

    def train(state: State, real: Any, noise: Any) -> Any:
        judge, maker = state["discriminator"], state["generator"]

        def make(params: Arrays) -> Any:
            return generator(params, maker["stats"], noise, last)

        fake, pull, made = jax.vjp(make, maker["params"], has_aux=True)
        differentiate = jax.value_and_grad(judged, has_aux=True)
        (first, seen), grads = differentiate(judge["params"], judge["stats"], real, fake)
        judge = _updated(workload, judge, grads)

        def deceive(fake: Any) -> Any:
            score, new = discriminator(judge["params"], seen, fake, last)
            return binary_entropy(score, True), new

        (second, seen_last), back = jax.value_and_grad(deceive, has_aux=True)(fake)
        maker = _updated(workload, maker, pull(back)[0])
        both = {"discriminator": judge | {"stats": seen_last}, "generator": maker | {"stats": made}}
        return both, (first, second)

    return train


def _chain(x: Any, numbers: Any) -> Any:
    return (jax.nn.gelu(x * numbers[0] + numbers[1], approximate=False) * jnp.tanh(x)).mean()


def _reductions(x: Any, numbers: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    spread = (centred * centred).mean(1)
    return (jax.nn.logsumexp(centred, 1) + 0.5 * jnp.log(spread + 1e-5)).mean()


def _first_state(workload: Workload, last: bool) -> State:
    """Parameters, statistics and slots; for a GAN, one such state for each network."""
    found = first_weights(workload)
    arrays = {name: jnp.array(turned(name, array, last)) for name, array in found.items()}
    if workload.family != "gan":
        return _state_of(arrays)
    return {
        network: _state_of({k: a for k, a in arrays.items() if k.startswith(network)})
        for network in ("discriminator", "generator")
    }


def _state_of(arrays: Arrays) -> State:
    params = {k: a for k, a in arrays.items() if k.rpartition(".")[2] not in STATISTICS}
    kept = {k: a for k, a in arrays.items() if k.rpartition(".")[2] in STATISTICS[:2]}
    mean, square = ({k: jnp.zeros_like(a) for k, a in params.items()} for _ in range(2))
    return {"params": params, "stats": kept, "mean": mean, "square": square, "count": jnp.zeros(())}


def _updated(workload: Workload, state: State, grads: Arrays) -> State:
    """The state after one update of SGD with momentum, Adam or AdamW."""
    params, rate = state["params"], workload.rate
    if workload.optimizer == "sgd":
        mean = jax.tree.map(lambda v, g: MOMENTUM * v + g, state["mean"], grads)
        return state | {
            "params": jax.tree.map(lambda p, v: p - rate * v, params, mean),
            "mean": mean,
        }
    beta1, count = workload.beta1, state["count"] + 1
    mean = jax.tree.map(lambda m, g: m + (1 - beta1) * (g - m), state["mean"], grads)
    square = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, state["square"], grads)
    first, second = 1 - beta1**count, 1 - BETA2**count
    kept = 1 - rate * (DECAY if workload.optimizer == "adamw" else 0.0)

    def move(p: Any, m: Any, s: Any) -> Any:
        return p * kept - rate / first * m / (jnp.sqrt(s / second) + EPSILON)

    moved = jax.tree.map(move, params, mean, square)
    return state | {"params": moved, "mean": mean, "square": square, "count": count}
