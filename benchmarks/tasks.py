"""A framework's namespace, a network and its optimizers in, one step as PyTorch's users write it.

``torch`` is PyTorch or the engine; ``wrap`` compiles the parts that torch.compile is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kinds import BETA2, DECAY, EPSILON, MOMENTUM, Workload

Step: TypeAlias = Callable[[Any, Any], tuple[Any, ...]]
Wrap: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


def make_step(torch: Any, workload: Workload, model: Any, opts: list[Any], wrap: Wrap) -> Step:
    """The step over inputs and targets; it returns its results as a tuple."""
    if workload.leaf:
        return _gradient_step(torch, workload, wrap)
    if workload.family == "gan":
        return _gan_step(torch, model, opts, wrap)
    if not workload.optimizer:
        forward = wrap(model)
        return lambda x, y: (forward(x),)
    return _training_step(torch, model, opts[0], wrap)


def make_optimizers(torch: Any, workload: Workload, model: Any, **options: Any) -> list[Any]:
    """The workload's optimizer for each network that has one."""
    if not workload.optimizer:
        return []
    networks = [model]
    if workload.family == "gan":
        networks = [model.discriminator, model.generator]
    if workload.optimizer == "sgd":
        options |= {"momentum": MOMENTUM}
    else:
        options |= {"betas": (workload.beta1, BETA2), "eps": EPSILON}
    if workload.optimizer == "adamw":
        options |= {"weight_decay": DECAY}
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    kind = make[workload.optimizer]
    return [kind(network.parameters(), lr=workload.rate, **options) for network in networks]


def rewind(opts: list[Any]) -> None:
    """Every slot of every optimizer as before the first step, in its own memory."""
    for opt in opts:
        for slots in opt.state.values():
            for slot in slots.values():
                slot.zero_()


def loss_of(torch: Any, scores: Any, y: Any) -> Any:
    """Cross-entropy over every row, be it an image's or a place's."""
    return torch.nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), y.reshape(-1))


def value_of(torch: Any, family: str, x: Any, numbers: Any) -> Any:
    """The functions of one large leaf: a chain of elementwise operations, or row reductions."""
    if family == "chain":
        a, b = numbers[0], numbers[1]
        return (torch.nn.functional.gelu(x * a + b) * torch.tanh(x)).mean()
    centred = x - x.mean(1, keepdim=True)
    spread = (centred * centred).mean(1)
    return (torch.logsumexp(centred, 1) + 0.5 * torch.log(spread + 1e-5)).mean()


def _training_step(torch: Any, model: Any, opt: Any, wrap: Wrap) -> Step:
    loss_at = wrap(lambda x, y: loss_of(torch, model(x), y))

    def step(x: Any, y: Any) -> tuple[Any, ...]:
        opt.zero_grad()
        loss = loss_at(x, y)
        loss.backward()
        opt.step()
        return (loss,)

    return step


def _gradient_step(torch: Any, workload: Workload, wrap: Wrap) -> Step:
    value_at = wrap(lambda x, numbers: value_of(torch, workload.family, x, numbers))

    def step(x: Any, numbers: Any) -> tuple[Any, ...]:
        value = value_at(x, numbers)
        (grad,) = torch.autograd.grad(value, [x])
        return value, grad

    return step


def _gan_step(torch: Any, model: Any, opts: list[Any], wrap: Wrap) -> Step:
    """The discriminator learns from real and faked images, then the generator from its verdict.

    The generator's gradients are asked for by name: nobody has to compute those of the
    discriminator's weights a second time for nothing.
    """
    generator, judge = model.generator, model.discriminator
    make_fake = wrap(generator)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits

    def judge_both(real: Any, fake: Any) -> Any:
        good, bad = judge(real), judge(fake)
        return entropy(good, torch.ones_like(good)) + entropy(bad, torch.zeros_like(bad))

    def judge_fake(fake: Any) -> Any:
        score = judge(fake)
        return entropy(score, torch.ones_like(score))

    both_at, fake_at = wrap(judge_both), wrap(judge_fake)
    params = list(generator.parameters())

    def step(real: Any, noise: Any) -> tuple[Any, ...]:
        fake = make_fake(noise)
        opts[0].zero_grad()
        first = both_at(real, fake.detach())
        first.backward()
        opts[0].step()
        second = fake_at(fake)
        opts[1].zero_grad()
        _fill_grads(torch, second, params)
        opts[1].step()
        return first, second

    return step


def _fill_grads(torch: Any, loss: Any, params: list[Any]) -> None:
    """``backward`` into these parameters alone.

    The engine has no ``backward(inputs=)``. PyTorch needs it: a gradient that is assigned keeps
    inductor's strides, and the fused optimizer takes them for the parameter's own.
    """
    if torch.__name__ == "torch":
        loss.backward(inputs=params)
        return
    for param, grad in zip(params, torch.autograd.grad(loss, params), strict=True):
        param.grad = grad
