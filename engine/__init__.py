"""PyTorch's names in, the engine's tensors and compiled steps out: ``import engine as torch``.

>>> import engine
>>> w = engine.tensor([1.0, 2.0], requires_grad=True)
>>> (w * w).sum().backward()
>>> w.grad
tensor([2., 4.])
"""

from engine import (
    autograd,
    bits as _bits,
    blocks as _blocks,
    cuda,
    gamma as _gamma,
    images as _images,
    linalg,
    masks as _masks,
    matrices as _matrices,
    nn,
    norms as _norms,
    optim,
    ordering as _ordering,
    overlays as _overlays,
    parts as _parts,
    predicates as _predicates,
    products as _products,
    rearrange as _rearrange,
    running as _running,
    sampling as _sampling,
    scattering as _scattering,
    special,
    specials as _specials,
    statistics as _statistics,
    triangles as _triangles,
    trigonometry as _trigonometry,
    utils,
    windows as _windows,
)
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
from engine.autocast import autocast, is_autocast_enabled
from engine.backend import get_num_threads, set_num_threads
from engine.bits import *  # noqa: F403
from engine.blocks import *  # noqa: F403
from engine.creation import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    scalar_tensor,
    tensor,
    zeros,
    zeros_like,
)
from engine.device import device, get_default_device, set_default_device
from engine.dtypes import (
    bfloat16,
    bool_ as bool,
    dtype,
    float16,
    float32,
    float32 as float,
    float64,
    float64 as double,
    half,
    int8,
    int16,
    int32,
    int32 as int,
    int64,
    int64 as long,
    uint8,
    uint32,
)
from engine.einsum import einsum
from engine.errors import (
    AutogradError,
    DTypeError,
    EngineError,
    ShapeError,
    TraceError,
    Unsupported,
)
from engine.gamma import *  # noqa: F403
from engine.gathering import cumsum, gather, index_select, take, take_along_dim
from engine.images import *  # noqa: F403
from engine.indexing import index_put
from engine.inplace import fill_, zero_
from engine.jit import Step, jit
from engine.loops import scan
from engine.masks import *  # noqa: F403
from engine.matrices import *  # noqa: F403
from engine.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from engine.norms import *  # noqa: F403
from engine.ordering import *  # noqa: F403
from engine.overlays import *  # noqa: F403
from engine.parts import *  # noqa: F403
from engine.predicates import *  # noqa: F403
from engine.products import *  # noqa: F403
from engine.random import (
    get_rng_state,
    initial_seed,
    make_generator as Generator,
    manual_seed,
    seed,
    set_rng_state,
)
from engine.rearrange import *  # noqa: F403
from engine.reductions import (
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    count_nonzero,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    nanmean,
    nansum,
    prod,
    softmax,
    sum,
)
from engine.running import *  # noqa: F403
from engine.sampling import *  # noqa: F403
from engine.scattering import *  # noqa: F403
from engine.serialize import load, save
from engine.shaping import (
    cat,
    expand,
    flatten,
    flip,
    permute,
    reshape,
    squeeze,
    stack,
    t,
    transpose,
    unsqueeze,
)
from engine.sorting import argsort, bucketize, kthvalue, msort, searchsorted, sort, topk
from engine.special import polygamma
from engine.specials import *  # noqa: F403
from engine.statistics import *  # noqa: F403
from engine.tensor import Size, Tensor
from engine.transforms import grad, value_and_grad
from engine.triangles import *  # noqa: F403
from engine.trigonometry import *  # noqa: F403
from engine.windows import *  # noqa: F403

__all__ = [
    "AutogradError",
    "DTypeError",
    "EngineError",
    "Generator",
    "ShapeError",
    "Size",
    "Step",
    "Tensor",
    "TraceError",
    "Unsupported",
    "abs",
    "add",
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "as_tensor",
    "asarray",
    "autocast",
    "autograd",
    "bfloat16",
    "bool",
    "bucketize",
    "cat",
    "ceil",
    "clamp",
    "cos",
    "count_nonzero",
    "cuda",
    "cumsum",
    "device",
    "div",
    "double",
    "dtype",
    "einsum",
    "empty",
    "empty_like",
    "enable_grad",
    "eq",
    "erf",
    "exp",
    "expand",
    "expm1",
    "eye",
    "fill_",
    "flatten",
    "flip",
    "float",
    "float16",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "ge",
    "get_default_device",
    "get_num_threads",
    "get_rng_state",
    "grad",
    "gt",
    "half",
    "index_put",
    "index_select",
    "initial_seed",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_autocast_enabled",
    "is_grad_enabled",
    "isfinite",
    "isnan",
    "jit",
    "kthvalue",
    "le",
    "linalg",
    "linspace",
    "load",
    "log",
    "log1p",
    "log_softmax",
    "logspace",
    "logsumexp",
    "long",
    "lt",
    "manual_seed",
    "masked_fill",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "msort",
    "mul",
    "nanmean",
    "nansum",
    "ne",
    "neg",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "permute",
    "polygamma",
    "pow",
    "prod",
    "reciprocal",
    "relu",
    "remainder",
    "reshape",
    "rsqrt",
    "save",
    "scalar_tensor",
    "scan",
    "searchsorted",
    "seed",
    "set_default_device",
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "sort",
    "special",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "t",
    "take",
    "take_along_dim",
    "tanh",
    "tensor",
    "topk",
    "transpose",
    "uint8",
    "uint32",
    "unsqueeze",
    "utils",
    "value_and_grad",
    "where",
    "zero_",
    "zeros",
    "zeros_like",
]
__all__ += _predicates.__all__
__all__ += _products.__all__
__all__ += _parts.__all__
__all__ += _rearrange.__all__
__all__ += _norms.__all__
__all__ += _ordering.__all__
__all__ += _running.__all__
__all__ += _sampling.__all__
__all__ += _specials.__all__
__all__ += _statistics.__all__
__all__ += _trigonometry.__all__
__all__ += _bits.__all__
__all__ += _blocks.__all__
__all__ += _gamma.__all__
__all__ += _masks.__all__
__all__ += _matrices.__all__
__all__ += _overlays.__all__
__all__ += _scattering.__all__
__all__ += _triangles.__all__
__all__ += _windows.__all__
__all__ += _images.__all__
