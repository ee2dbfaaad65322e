"""A PyTorch sample's arguments in, the engine's out: tensors by value, strides kept apart.

Tensors to differentiate are collected on the way, in the same order on both sides.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases.lookup import resolve

import engine

NAMES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
HALVES = ("float16", "bfloat16")
DTYPES = {getattr(torch, name): getattr(engine, name) for name in (*NAMES, *HALVES)}
NARROW = (torch.float32, torch.float16, torch.bfloat16)
Array = np.ndarray[Any, Any]


def encoder_layer(x: Any) -> dict[str, Any]:
    """The settings of a TransformerEncoderLayer, which keeps them in its parts."""
    return {
        "d_model": x.self_attn.embed_dim,
        "nhead": x.self_attn.num_heads,
        "dim_feedforward": x.linear1.out_features,
        "dropout": x.dropout.p,
        "activation": x.activation,
        "layer_norm_eps": x.norm1.eps,
        "batch_first": x.self_attn.batch_first,
        "norm_first": x.norm_first,
        "bias": x.linear1.bias is not None,
    }


SETTINGS: dict[str, Callable[[Any], dict[str, Any]]] = {"TransformerEncoderLayer": encoder_layer}


class LeftOut(Exception):
    """A case that no engine call can spell; the text says why."""


def ours(value: Any, leaves: list[Any]) -> Any:
    """A sample's argument in the engine's terms; tensors to differentiate are added to leaves."""
    if isinstance(value, torch.Tensor):
        tensor = engine.from_numpy(memory(value))
        if value.requires_grad:
            tensor.requires_grad = True
            leaves.append(tensor)
        return tensor
    if isinstance(value, torch.dtype):
        if value not in DTYPES:
            raise LeftOut(f"{str(value).removeprefix('torch.')} is not compared")
        return DTYPES[value]
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.layout | torch.memory_format | torch.Generator | complex):
        raise LeftOut(f"{type(value).__name__} arguments are not offered")
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, torch.nn.Module):
        return module(value)
    if callable(value) and not isinstance(value, type):
        return function(value)
    if isinstance(value, dict):
        return {key: ours(item, leaves) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(ours(item, leaves) for item in value)
    return value


def function(value: Any) -> Any:
    """The engine's function for one of PyTorch's."""
    name = str(getattr(value, "__name__", ""))
    for scope, prefix in ((torch.nn.functional, "nn.functional."), (torch, "")):
        if getattr(scope, name, None) is value:
            found = resolve(prefix + name)
            if found is not None:
                return found
    raise LeftOut(f"a function of the database's own ({name or value!r}) is an argument")


def module(value: torch.nn.Module) -> Any:
    """The engine's module of the same class, settings and weights."""
    name = type(value).__name__
    kind = getattr(engine.nn, name, None)
    if kind is None:
        raise LeftOut(f"the engine has no {name}")
    settings = SETTINGS.get(name, vars)(value)
    known = inspect.signature(kind.__init__).parameters
    made = kind(**{key: ours(item, []) for key, item in settings.items() if key in known})
    given = value.state_dict().items()
    made.load_state_dict({key: engine.tensor(item.numpy()) for key, item in given})
    return made


def memory(value: torch.Tensor) -> Array:
    """A copy of a tensor's elements, strided where the tensor is."""
    if value.layout != torch.strided:
        raise LeftOut("sparse tensors are not offered")
    if value.dtype not in DTYPES:
        raise LeftOut(f"{str(value.dtype).removeprefix('torch.')} is not compared")
    if value.device.type != "cpu":
        raise LeftOut(f"there is no device {value.device.type}")
    array = plain(value.detach().resolve_neg().contiguous())
    if value.is_contiguous():
        return array.copy()
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


def differentiable(value: Any) -> list[torch.Tensor]:
    """PyTorch's leaves, in the order in which ``ours`` meets them."""
    if isinstance(value, dict):
        return differentiable(list(value.values()))
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in differentiable(item)]
    return [value] if isinstance(value, torch.Tensor) and value.requires_grad else []


def fresh(value: Any) -> Any:
    """The same arguments; what is differentiated is a leaf of its own, in the same memory.

    Views of leaves, made without history, lose the gradient in PyTorch itself.
    """
    if isinstance(value, torch.Tensor) and value.requires_grad:
        return value.detach().requires_grad_()
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return type(value)(fresh(item) for item in value)
    return value


def exact(value: Any) -> Any:
    """The same arguments with narrower floats as float64."""
    if isinstance(value, torch.Tensor):
        wide = value.detach().clone()
        if wide.dtype in NARROW:
            wide = wide.double()
        return wide.requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype):
        return torch.float64 if value in NARROW else value
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return type(value)(exact(item) for item in value)
    return value


def plain(value: torch.Tensor) -> Array:
    """A tensor's memory; bfloat16, which NumPy has from elsewhere, by its bits."""
    if value.dtype != torch.bfloat16:
        return np.asarray(value.numpy())
    return np.asarray(value.contiguous().view(torch.int16).numpy().view(engine.bfloat16))


def array(value: Any) -> Array:
    """A tensor of either side, or a number, as NumPy's."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided:
            raise LeftOut("sparse results are not offered")
        given = value.detach().resolve_conj().resolve_neg()
        return plain(torch.zeros_like(given) if given._is_zerotensor() else given)
    return np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)
