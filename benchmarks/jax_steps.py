"""A workload in, JAX's step out: one jitted function whose state is donated.

For LeNet three variants: both layouts, and pooling written as reshape and max, whose gradient
spares XLA's slow select-and-scatter. Optimizers are written out; XLA fuses them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from contest import Contestant, Running
from workloads import (
    BETA1,
    BETA2,
    EPSILON,
    MOMENTUM,
    WORKLOADS,
    Workload,
    batches,
    weights,
)


def prepare(contestant: Contestant, count: int) -> Running:
    """The jitted step over ``count`` batches."""
    _keep_compiled_code()
    workload = WORKLOADS[contestant.workload]
    forward = _mlp if contestant.workload == "mlp" else _lenet(contestant.variant)
    update = _sgd if workload.optimizer == "sgd" else _adam
    last = contestant.variant.startswith("NHWC")

    def train(state: Any, x: Any, y: Any) -> Any:
        params, *slots = state
        loss, grads = jax.value_and_grad(_loss)(params, forward, x, y)
        return update(params, grads, slots, workload.rate), loss

    compiled = jax.jit(train, donate_argnums=0)
    holder = [_first_state(workload, last)]

    def step(x: Any, y: Any) -> Any:
        holder[0], loss = compiled(holder[0], x, y)
        return loss

    def finish(loss: Any) -> float:
        jax.block_until_ready(holder[0])
        return float(loss)

    def restore() -> None:
        holder[0] = jax.block_until_ready(_first_state(workload, last))

    data = [
        (jnp.asarray(x.transpose(0, 2, 3, 1) if last else x), jnp.asarray(y, jnp.int32))
        for x, y in batches(workload, count)
    ]
    return Running(data, step, finish, restore)


def _keep_compiled_code() -> None:
    """The persistent cache, also for programs that compile in under a second."""
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _first_state(workload: Workload, last: bool) -> tuple[Any, ...]:
    """Parameters in the layout's own order, and the optimizer's slots as zeros."""
    params = {}
    for name, array in weights(workload).items():
        if array.ndim == 4 and last:
            array = array.transpose(2, 3, 1, 0)  # HWIO
        elif array.ndim == 2:
            array = array.T
        params[name] = jnp.array(array)
    zeros = [{k: jnp.zeros_like(p) for k, p in params.items()} for _ in range(2)]
    if workload.optimizer == "sgd":
        return params, zeros[0]
    return params, *zeros, jnp.zeros(())


def _loss(params: Any, forward: Callable[..., Any], x: Any, y: Any) -> Any:
    scores = jax.nn.log_softmax(forward(params, x))
    return -jnp.take_along_axis(scores, y[:, None], axis=1).mean()


def _linear(params: Any, name: str, x: Any) -> Any:
    return x @ params[f"{name}.weight"] + params[f"{name}.bias"]


def _mlp(params: Any, x: Any) -> Any:
    x = jax.nn.relu(_linear(params, "fc1", x))
    return _linear(params, "fc3", jax.nn.relu(_linear(params, "fc2", x)))


def _lenet(variant: str) -> Callable[[Any, Any], Any]:
    last = variant.startswith("NHWC")
    layout = ("NHWC", "HWIO", "NHWC") if last else ("NCHW", "OIHW", "NCHW")
    pool = _pool_by_reshape if variant.endswith("reshape") else _pool_by_window(last)

    def block(params: Any, name: str, x: Any) -> Any:
        kernel, bias = params[f"{name}.weight"], params[f"{name}.bias"]
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout)
        return pool(jax.nn.relu(x + (bias if last else bias[:, None, None])))

    def forward(params: Any, x: Any) -> Any:
        x = block(params, "conv2", block(params, "conv1", x))
        x = (x.transpose(0, 3, 1, 2) if last else x).reshape(len(x), -1)
        x = jax.nn.relu(_linear(params, "fc1", x))
        return _linear(params, "fc3", jax.nn.relu(_linear(params, "fc2", x)))

    return forward


def _pool_by_window(last: bool) -> Callable[[Any], Any]:
    window = (1, 2, 2, 1) if last else (1, 1, 2, 2)
    return lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def _pool_by_reshape(x: Any) -> Any:
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def _sgd(params: Any, grads: Any, slots: Any, rate: float) -> tuple[Any, ...]:
    velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, slots[0], grads)
    return jax.tree.map(lambda p, v: p - rate * v, params, velocity), velocity


def _adam(params: Any, grads: Any, slots: Any, rate: float) -> tuple[Any, ...]:
    mean, square, count = slots
    count = count + 1
    mean = jax.tree.map(lambda m, g: m + (1 - BETA1) * (g - m), mean, grads)
    square = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, square, grads)
    first, second = 1 - BETA1**count, 1 - BETA2**count

    def move(p: Any, m: Any, s: Any) -> Any:
        return p - rate / first * m / (jnp.sqrt(s / second) + EPSILON)

    return jax.tree.map(move, params, mean, square), mean, square, count
