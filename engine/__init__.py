"""PyTorch's names in, the engine's tensors and compiled steps out: ``import engine as torch``.

>>> import engine
>>> w = engine.tensor([1.0, 2.0], requires_grad=True)
>>> (w * w).sum().backward()
>>> w.grad
tensor([2., 4.])
"""

from engine import autograd, nn, optim
from engine.arithmetic import (
    abs,
    add,
    ceil,
    clamp,
    cos,
    div,
    eq,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    masked_fill,
    maximum,
    minimum,
    mul,
    ne,
    neg,
    pow,
    reciprocal,
    relu,
    remainder,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    sub,
    tanh,
    where,
)
from engine.backend import get_num_threads, set_num_threads
from engine.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    make_generator as Generator,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from engine.dtypes import (
    bool_ as bool,
    dtype,
    float32,
    float32 as float,
    float64,
    float64 as double,
    int8,
    int16,
    int32,
    int32 as int,
    int64,
    int64 as long,
    uint8,
    uint32,
)
from engine.errors import (
    AutogradError,
    DTypeError,
    EngineError,
    ShapeError,
    TraceError,
    Unsupported,
)
from engine.jit import Step, jit
from engine.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from engine.random import get_rng_state, manual_seed, set_rng_state
from engine.reductions import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    softmax,
    std,
    sum,
    var,
)
from engine.serialize import load, save
from engine.shaping import (
    bmm,
    cat,
    expand,
    flatten,
    flip,
    matmul,
    mm,
    permute,
    reshape,
    squeeze,
    stack,
    t,
    transpose,
    unsqueeze,
)
from engine.tensor import Size, Tensor
from engine.transforms import grad, value_and_grad
