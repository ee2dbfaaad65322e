"""A name of PyTorch's database in, the engine's callable out; what cannot be compared, and why.

Where the database calls a function through a lambda of its own (to change the order of arguments,
or to name a method), the same lambda runs over the engine, so nothing is spelled twice.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from cases.lookup import resolve

import engine

NOT_DEFINED = "its values are not defined"
UNDEFINED = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty")
RANDOM = (
    *("bernoulli", "multinomial", "normal", "rand_like", "randint", "randint_like", "randn"),
    *("randn_like", "uniform", "exponential", "geometric", "log_normal", "cauchy"),
    *("nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d"),
    *("nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout"),
    *("nn.functional.rrelu", "nn.functional.fractional_max_pool2d"),
    *("nn.functional.fractional_max_pool3d", "nn.functional.multi_head_attention_forward"),
    *("svd_lowrank", "pca_lowrank"),
)
LEFT_OUT = {
    "sparse.": "sparse tensors are not offered",
    "to_sparse": "sparse tensors are not offered",
    "jiterator": "CUDA only",
    "torch.ops": "an internal operator, not a public name",
    "torch._scaled": "an internal operator, not a public name",
    "complex": "complex tensors are not offered",
    "polar": "complex tensors are not offered",
    "view_as_complex": "complex tensors are not offered",
    "view_as_real": "complex tensors are not offered",
    "cdouble": "complex tensors are not offered",
    "cfloat": "complex tensors are not offered",
    "chalf": "complex tensors are not offered",
    "fft.": "complex tensors are not offered",
    "stft": "complex tensors are not offered",
    "istft": "complex tensors are not offered",
    "linalg.eig": "complex tensors are not offered",
    "linalg.eigvals": "complex tensors are not offered",
    "as_strided": "an engine tensor has no strides of its own",
}
# Functions whose result, or its shape, a value decides: Python asks for it, so jit cannot have it.
DECIDED = (
    *("item", "equal", "allclose", "tolist", "is_nonzero", "narrow", "repeat_interleave"),
    *("tensor_split", "linspace.tensor_overload", "logspace.tensor_overload"),
    *("nn.functional.one_hot",),
)
EXACT = ("complex", "polar", "linalg.eig", "linalg.eigvals", "as_strided")


def left_out(name: str) -> str:
    """Why an entry of the database has no place here, or ""."""
    for key, reason in LEFT_OUT.items():
        if name == key or (key not in EXACT and name.startswith(key)):
            return reason
    private = name.startswith("_") and not name.startswith("__")
    return "an internal operator, not a public name" if private else ""


def left_out_case(name: str, kwargs: dict[str, Any]) -> str:
    """Why one case of an entry cannot be compared, or ""."""
    return "dropout is random" if kwargs.get("dropout_p") and "dropout" not in name else ""


def decided(name: str, reason: str) -> str:
    """Why a compiled case has no meaning, or "": its function asks for a tensor's value."""
    polynomial = name.startswith("special.") and "_polynomial_" in name  # of a computed degree
    known = (name in DECIDED or polynomial) and "known only when the program runs" in reason
    return "a value decides the result, so it works outside jit only" if known else ""


def full_name(info: Any) -> str:
    """The name with PyTorch's variant, such as ``div.floor_rounding``."""
    return f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name


def present(info: Any) -> bool:
    """Whether the engine has the entry's name, as a function, method or attribute."""
    known = resolve(info.name) is not None or hasattr(engine.Tensor, info.name)
    return known and (is_public(info.op) or rebound(info.op) is not None)


def is_public(op: Any) -> bool:
    """Whether the database calls the function itself."""
    return not _is_lambda(op)


def mine(info: Any) -> Callable[..., Any]:
    """The engine's side of an entry."""
    again = rebound(info.op)
    if again is not None:
        return again
    found = resolve(info.name)
    assert found is not None
    return found


class Names:
    """What ``torch`` means inside a function of the database: the engine, and its methods."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(engine, name, None)
        return getattr(engine.Tensor, name) if found is None else found


def rebound(op: Any) -> Callable[..., Any] | None:
    """A function of PyTorch's database that calls the engine wherever it says ``torch``."""
    if not _is_lambda(op):
        return None
    scope = {**op.__globals__, "torch": Names()}
    return types.FunctionType(op.__code__, scope, op.__name__, op.__defaults__, op.__closure__)


def _is_lambda(op: Any) -> bool:
    return isinstance(op, types.FunctionType) and op.__module__.startswith("torch.testing")


def method_name(variant: Any) -> str:
    """The name of a method of ``torch.Tensor`` that the engine's tensor has too, or ""."""
    name = getattr(variant, "__name__", "")
    known = callable(getattr(torch.Tensor, name, None))
    return name if known and hasattr(engine.Tensor, name) else ""


# Who mends what: the start of a name, the part of the engine that has it.
OWNERS = (
    ("B", ("nn.functional.pad", "nn.functional.unfold", "nn.functional.fold")),
    ("D", ("nn.functional.conv", "nn.functional.avg_pool", "nn.functional.max_pool")),
    ("D", ("nn.functional.adaptive", "nn.functional.lp_pool", "nn.functional.max_unpool")),
    ("D", ("nn.functional.fractional", "nn.functional.interpolate", "nn.functional.upsample")),
    ("D", ("nn.functional.grid", "nn.functional.affine_grid", "nn.functional.pixel_")),
    ("E", ("nn.functional.",)),
    ("C", ("linalg.", "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "mm", "mv", "matmul")),
    ("C", ("dot", "vdot", "inner", "outer", "einsum", "tensordot", "kron", "cholesky", "qr")),
    ("C", ("svd", "lu", "logdet", "det", "pinverse", "triangular", "cdist", "cross", "matrix_")),
    ("C", ("cov", "corrcoef", "trapz", "trapezoid", "cumulative_", "bilinear", "trace")),
    ("B", ("atleast", "block_diag", "broadcast", "cat", "chunk", "column_stack", "diag", "dsplit")),
    ("B", ("dstack", "expand", "flatten", "flip", "gather", "hsplit", "hstack", "index", "masked")),
    ("B", ("meshgrid", "movedim", "msort", "narrow", "nonzero", "permute", "put", "ravel")),
    ("B", ("repeat", "reshape", "roll", "rot90", "scatter", "searchsorted", "select", "slice")),
    ("B", ("sort", "split", "squeeze", "stack", "take", "tensor_split", "tile", "topk", "t")),
    ("B", ("transpose", "tril", "triu", "unbind", "unflatten", "unfold", "unique", "unsqueeze")),
    ("B", ("view", "vsplit", "vstack", "where", "argsort", "argwhere", "bucketize", "kthvalue")),
    ("B", ("cartesian", "combinations", "H", "T", "mH", "mT", "__getitem__", "swap", "adjoint")),
)
EXACTLY = ("t", "mm", "mv", "dot", "lu", "det", "svd", "qr", "put", "cov", "inner", "outer")


def owner(name: str) -> str:
    """The letter of the part that has the name: A where no row says otherwise."""
    for letter, starts in OWNERS:
        for start in starts:
            if name == start or (start not in EXACTLY and name.startswith(start)):
                return letter
    return "A"
