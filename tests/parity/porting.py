"""The engine's public names and docstrings in, the page 'coming from PyTorch' out.

    python tests/parity/porting.py            # writes docs/coming-from-pytorch.md
    python tests/parity/porting.py --names    # stores PyTorch's names first, in data/

What differs is said in docstrings, in paragraphs that begin with "Differs from PyTorch:".
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))
import engine

ROOT = Path(__file__).parents[2]
NAMES = Path(__file__).parent / "data" / "torch_names.json"
PAGE = ROOT / "docs" / "coming-from-pytorch.md"
MARK = "Differs from PyTorch:"
SCOPES = {
    "torch": "functions",
    "torch.Tensor": "methods of the tensor",
    "torch.nn": "modules",
    "torch.nn.functional": "functions of networks",
    "torch.nn.init": "initialisations",
    "torch.nn.utils": "on parameters and sequences",
    "torch.optim": "optimizers",
    "torch.optim.lr_scheduler": "schedules",
    "torch.optim.swa_utils": "averaged weights",
    "torch.linalg": "linear algebra",
    "torch.special": "special functions",
    "torch.utils.data": "data",
}
GROUPS = {
    "complex numbers, Fourier transforms": r"complex|fft|stft|polar|view_as_real|^c(half|float|"
    r"double)$|resolve_(conj|neg)|is_(conj|neg)|^eig(vals)?$|^(angle|real|imag|conj.*)$|_window$",
    "sparse, nested and named tensors": r"sparse|to_dense|coalesce|csr|csc|bsr|bsc|nested|nnz|"
    r"crow_|ccol_|col_indices|row_indices|(^|_)names?$|rename|align_|refine|^indices$|^values$|^smm$"
    r"|sspaddmm|hspmm|mkldnn",
    "quantized arithmetic": r"quantize|quantized|q_(scale|zero|per)|qscheme|fake_quant|int_repr|"
    r"observer|fbgemm|quint|^q(u)?int|choose_qparams",
    "devices, storage and other processes": r"cuda|cudnn|miopen|device|mps|xpu|ipu|hpu|xla|vulkan|"
    r"mtia|accelerator|storage|stream|pin|share|memory|data_ptr|dlpack|data_parallel|Parallel|"
    r"distributed|Distributed|rowwise|layout|channels_last|cpu|worker|set_$|resize",
    "compilers, symbolic sizes, hooks and switches": r"^sym_|Sym|jit|compile|vmap|script|export|"
    r"^cond$|while_loop|hook|deterministic|profiler|^(set|get)_|is_(warn|inference|grad|vulkan|autocast)|"
    r"autocast|inference|forward_ad|overrides|typename|use_|_like_proxy|Lazy|Uninitialized|library|"
    r"register|retain|parametri|prun|fuse_|skip_init|stateless|convert_",
    "inner operators": r"_copy$|^native_|^norm_except|^batch_norm_|_elemt$|parse_|ir_module|"
    r"^unify_|^init_num|^thread_safe|^merge_type|constant_pad_nd|^convolution$|^grid_sampler|"
    r"_cell$|^(h|d)smm$|^s(addmm|pmm)$|^slice_inverse$|^rnn_|^(gru|lstm)$|^hash_tensor$|"
    r"^unsafe_|_torch_function|^assert_int|^(fork|wait)$",
    "dtypes": r"float8|float4|^u?int(1|2|3|4|5|6|7|16|32|64)$|bits|half|bfloat|chalf|float16|"
    r"finfo|iinfo|Type$|Storage$|Tensor$|get_default|promote|result_type|can_cast",
}
ELSEWHERE = ("in `nn.functional` here", "a method of the tensor here")
CORE = (
    "Tensor",
    "Generator",
    "Size",
    "device",
    "dtype",
    "layout",
    "memory_format",
    "finfo",
    "iinfo",
)


def names_of(scope: str) -> list[str]:
    """PyTorch's public names of a scope: functions and classes; asks PyTorch."""
    head, _, last = scope.rpartition(".")
    owner = importlib.import_module(head) if last == "Tensor" else importlib.import_module(scope)
    found = getattr(owner, last) if last == "Tensor" else owner
    listed = dir(found)
    if last != "Tensor" and scope != "torch.nn.functional":  # whose __all__ lists a few names only
        listed = [name for name in getattr(owner, "__all__", listed) if hasattr(owner, name)]
    return sorted({name for name in listed if wanted(found, name)})


def wanted(scope: Any, name: str) -> bool:
    """Whether a name is for users: no module, no type hint, nothing private."""
    value = getattr(scope, name, None)
    hidden = name.startswith("_") or isinstance(value, types.ModuleType)
    origin = getattr(value, "__module__", None) or "torch"
    borrowed = origin.split(".")[0] not in ("torch", "builtins") or "_jit_internal" in origin
    inner = origin.startswith("torch._C") or (origin == "torch" and name not in CORE)
    internal = isinstance(value, type) and inner and not isinstance(scope, type)
    told = isinstance(scope, type) or callable(value) or type(value).__name__ == "dtype"
    return told and not (hidden or borrowed or internal or type(value).__module__ == "typing")


def own_scope(scope: str) -> Any:
    """The engine's module or class for a scope of PyTorch's."""
    path = scope.replace("torch", "engine", 1)
    if path == "engine.Tensor":
        return engine.Tensor
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        return types.SimpleNamespace()


def documented() -> dict[str, str]:
    """Public name to what its docstring says after the mark, in one line."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    for scope in SCOPES:
        owner = own_scope(scope)
        for name in sorted(vars(owner) if not isinstance(owner, type) else dir(owner)):
            value = getattr(owner, name, None)
            text = inspect.getdoc(value) if callable(value) and not name.startswith("_") else None
            if text and MARK in text and id(value) not in seen:
                seen.add(id(value))
                told = text.split(MARK, 1)[1].split("\n\n")[0]
                found[f"{scope}.{name}"] = " ".join(told.split())
    return dict(sorted(found.items(), key=lambda row: row[0].lower()))


def group_of(name: str) -> str:
    """Under which heading a missing name stands."""
    if hasattr(engine.nn.functional, name):
        return ELSEWHERE[0]
    if hasattr(engine.Tensor, name):
        return ELSEWHERE[1]
    return next((title for title, rule in GROUPS.items() if re.search(rule, name)), "other")


def listed(names: list[str]) -> str:
    """Names in one paragraph."""
    return ", ".join(f"`{name}`" for name in names)


def page(torch_names: dict[str, Any]) -> str:
    """The whole page."""
    scopes = torch_names["scopes"]
    present = {s: [n for n in names if hasattr(own_scope(s), n)] for s, names in scopes.items()}
    rows = [f"| `{s}` | {SCOPES[s]} | {len(present[s])} | {len(scopes[s])} |" for s in scopes]
    parts = [INTRODUCTION, "## What is there", "", TABLE, *rows]
    total = sum(map(len, present.values())), sum(map(len, scopes.values()))
    parts += [f"| all | | {total[0]} | {total[1]} |", "", AGREE]
    for scope, names in present.items():
        parts += ["", f"### `{scope}`", "", listed(names) + "."]
    parts += ["", "## What differs", "", GENERAL, ""]
    parts += [f"- `{name}`: {text}" for name, text in documented().items()]
    parts += ["", "## What is missing", "", MISSING.format(version=torch_names["version"])]
    for scope, names in scopes.items():
        gone = [name for name in names if name not in present[scope]]
        if gone:
            parts += ["", f"### Not in `{scope}`", "", *grouped(gone)]
    return "\n".join(parts) + "\n"


def grouped(names: list[str]) -> list[str]:
    """Missing names by what they are about; function forms of in-place methods are one line."""
    plain = [name for name in names if not name.endswith("_")]
    groups: dict[str, list[str]] = {}
    for name in plain:
        groups.setdefault(group_of(name), []).append(name)
    titles = ("other", *ELSEWHERE, *GROUPS)
    lines = [f"- {t}: {listed(groups[t])}" for t in titles if t in groups]
    written = [name for name in names if name.endswith("_")]
    return [*lines, f"- written in place: {listed(written)}"] if written else lines


INTRODUCTION = """\
# Coming from PyTorch

This page is made from the code by `python tests/parity/porting.py`; a test keeps it true.
[The coverage table](coverage.md) says how far each name agrees with PyTorch's own test cases.

## Porting a script

```python
import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.utils.data import DataLoader, TensorDataset
```

Names, arguments, defaults, promotion of dtypes and kinds of errors are PyTorch's, so most scripts
need no other change. Weights move by `torch.load` and `torch.save`, which read and write
safetensors files with PyTorch's keys and layouts; there is no pickle.

Then put `@torch.jit` on the function that is one training step: forward pass, loss, `backward()`
and `optimizer.step()` together. It is not `torch.jit.script`: the step's Python runs once over
symbols, and what it did becomes one native program. Inside it a branch on a tensor's value is an
error that names your line; choose with `torch.where`. Loops over Python numbers are unrolled.
Everything also works without the decorator, op by op, for a look at values.
"""
TABLE = """\
| scope | | here | PyTorch |
| --- | --- | ---: | ---: |"""
AGREE = "Every name that both have, by scope:"
GENERAL = """\
In general:

- No complex, quantized, sparse or nested tensors. Devices are `cpu` and one GPU,
  `cuda`, on which jitted steps run; op by op its tensors are computed on the host.
- Random streams differ: the same seed draws other numbers than PyTorch's.
- Inside a jitted step a write through a view is an error (`x[1].add_(1)`, `x[1] += 1`); write
  `x[1] = x[1] + 1`. Outside, views share memory as in PyTorch.
- What a tensor's values decide (the size of `nonzero`, `unique`, an index by a mask) is known
  outside a step only.
- Errors name your line first. Their classes are subclasses of those that PyTorch raises.

Name by name:"""
MISSING = "Public names of PyTorch {version} that are not here, by what they are about."


def main() -> None:
    """Write the page, and the stored names where they are asked for."""
    if "--names" in sys.argv:
        import torch

        scopes = {scope: names_of(scope) for scope in SCOPES}
        text = {"version": torch.__version__.split("+", maxsplit=1)[0], "scopes": scopes}
        NAMES.write_text(json.dumps(text, separators=(",", ":")) + "\n")
    PAGE.write_text(page(json.loads(NAMES.read_text())))


if __name__ == "__main__":
    main()
