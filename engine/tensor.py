"""Python values and arrays in, ``Tensor`` out: PyTorch's nouns over the op table.

The class lists its methods; each is a free function of the file for its family, so that
``x.exp()`` and ``engine.exp(x)`` are one thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import (
    arithmetic,
    autograd,
    backward_hooks,
    bits,
    gathering,
    indexing,
    inplace,
    products,
    rearrange,
    reductions,
    shaping,
    sorting,
)
from engine.conversions import Conversions
from engine.device import device
from engine.dispatch import apply
from engine.errors import DTypeError, ShapeError, TraceError, message
from engine.locate import user_location
from engine.methods import Methods
from engine.modes import modes
from engine.moving import device_of
from engine.printing import represent
from engine.state import TensorState
from engine.storage import CPU
from ir.dims import product
from ir.types import DType, is_float

if TYPE_CHECKING:
    from ir.table import Array


class Size(tuple[Any, ...]):
    """A shape."""

    __slots__ = ()

    def numel(self) -> Any:
        """The number of elements."""
        return product(self)

    def __repr__(self) -> str:
        return f"Size([{', '.join(map(str, self))}])"


class Tensor(Methods, Conversions, TensorState):
    """A NumPy array with gradients, or a value of the step being traced.

    Made by ``engine.tensor``, ``engine.zeros`` and their like. Memory is shared by ``detach()``,
    ``.data``, views, ``numpy()`` and ``from_numpy()``, as in PyTorch.
    """

    __array_priority__ = 1000

    # what it is

    @property
    def shape(self) -> Size:
        """The sizes; inside a trace a size may be symbolic."""
        return Size(self.value.type.shape)

    def size(self, dim: int | None = None) -> Any:
        """The sizes, or the one of ``dim``."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.value.type.shape)

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def numel(self) -> Any:
        """The number of elements."""
        return self.value.type.numel

    nelement = numel

    @property
    def dtype(self) -> DType:
        """The element type, a NumPy dtype."""
        return self.value.type.dtype

    @property
    def device(self) -> device:
        """The ``engine.device`` that the tensor is on."""
        return device_of(self)

    @property
    def is_cuda(self) -> bool:
        """Whether the tensor is on a GPU."""
        return device_of(self).type == "cuda"

    @property
    def is_cpu(self) -> bool:
        """Whether the tensor is on the CPU."""
        return device_of(self).type == "cpu"

    def get_device(self) -> int:
        """The number of the tensor's GPU, -1 on the CPU."""
        index = device_of(self).index
        return -1 if index is None else index

    def is_floating_point(self) -> bool:
        """Whether the elements are floats."""
        return is_float(self.dtype)

    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order."""
        array = self._cell.held if modes.trace is None else None
        return array is None or bool(array.flags.c_contiguous)

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def grad_fn(self) -> Any:
        """The op that computed the tensor, or None for a leaf."""
        value = self.value
        return None if self.is_leaf else value.node.op

    @property
    def _version(self) -> int:
        return self._cell.counter.version

    # values

    def _concrete(self, asked: str) -> Array:
        value = self.value
        if modes.trace is not None or value.array is None:
            raise TraceError(
                message(
                    user_location(),
                    f"{asked} of a tensor ({value.type}) inside jit: the value depends on data "
                    "that is known only when the program runs",
                    "return the tensor from the step, or choose with engine.where()",
                )
            )
        return value.array

    def item(self) -> Any:
        """The one element as a Python number.

        Differs from PyTorch: an error inside ``jit``, as are ``float()``, ``int()``,
        ``bool()``, ``tolist()`` and ``numpy()``.
        """
        array = self._concrete("item()")
        if array.size != 1:
            text = f"a tensor with {array.size} elements cannot be converted to a number"
            raise ShapeError(message(user_location(), text))
        return array.item()

    def numpy(self) -> Array:
        """The memory as an array.

        RuntimeError where history would be lost, TypeError for a tensor of a GPU.
        """
        if modes.trace is None and self._cell.home not in (None, CPU):
            text = f"can't convert {self._cell.home} device type tensor to numpy"
            hint = "use x.cpu() to copy the tensor to host memory first"
            raise DTypeError(message(user_location(), text, hint))
        array = self._concrete("numpy()")
        if self.requires_grad:
            raise RuntimeError(
                message(
                    user_location(),
                    "numpy() of a tensor that requires grad",
                    "use detach().numpy()",
                )
            )
        return array if self._cell.counter.memory is None else array.copy()

    def tolist(self) -> Any:
        """The elements as nested lists."""
        return self._concrete("tolist()").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.detach().numpy(), dtype=dtype, copy=copy)

    def __bool__(self) -> bool:
        array = self._concrete("the truth")
        if array.size != 1:
            text = f"the truth of a tensor with {array.size} elements is ambiguous"
            raise ShapeError(message(user_location(), text, "use any() or all()"))
        return bool(array.item())

    def __float__(self) -> float:
        self._concrete("float()")
        return float(self.item())

    def __int__(self) -> int:
        self._concrete("int()")
        return int(self.item())

    def __index__(self) -> int:
        array = self._concrete("an index")
        if array.dtype.kind not in "iu" or array.size != 1:
            raise TypeError(
                message(user_location(), "only integer tensors of one element can be an index")
            )
        return int(array.item())

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError(message(user_location(), "len() of a 0-d tensor"))
        if not isinstance(shape[0], int):
            text = f"len() of a tensor of symbolic size {shape[0]}"
            raise ShapeError(message(user_location(), text, "use x.shape[0]"))
        return shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    def __repr__(self) -> str:
        return represent(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self.shape else format(repr(self), spec)

    def __hash__(self) -> int:
        return id(self) >> 4

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = type(self)._from_array(self._concrete("a deep copy").copy(), self._wants_grad)
        copied._cell.home = self._cell.home
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> Any:
        return _unpickle, (type(self), self._concrete("pickling").copy(), self._wants_grad)

    # copies and casts

    def clone(self) -> Tensor:
        """A copy in memory of its own, with history."""
        out = apply("reshape", self, shape=self.value.type.shape)
        array = out._cell.held
        if array is not None:
            out._cell.held = out.value.array = array.copy()
        return out

    def contiguous(self) -> Tensor:
        """The tensor in row-major order; a copy where it is not."""
        return self if self.is_contiguous() else self.clone()

    backward = autograd.backward
    register_hook = backward_hooks.register_hook
    register_post_accumulate_grad_hook = backward_hooks.register_post_accumulate_grad_hook
    retain_grad = backward_hooks.retain_grad

    @property
    def retains_grad(self) -> bool:
        """Whether ``backward`` sets ``.grad`` of this computed tensor."""
        hooks = None if self.is_leaf else self.value.hooks
        return hooks is not None and hooks[0].kept is not None

    # elementwise
    add, sub, mul, div = arithmetic.add, arithmetic.sub, arithmetic.mul, arithmetic.div
    true_divide, floor_divide = arithmetic.div, arithmetic.floor_divide
    remainder, pow, neg = arithmetic.remainder, arithmetic.pow, arithmetic.neg
    abs, sign, square, sqrt = arithmetic.abs, arithmetic.sign, arithmetic.square, arithmetic.sqrt
    rsqrt, reciprocal = arithmetic.rsqrt, arithmetic.reciprocal
    exp, expm1, log, log1p = arithmetic.exp, arithmetic.expm1, arithmetic.log, arithmetic.log1p
    sin, cos, tanh, erf = arithmetic.sin, arithmetic.cos, arithmetic.tanh, arithmetic.erf
    floor, ceil = arithmetic.floor, arithmetic.ceil
    relu, sigmoid, clamp, clip = (
        arithmetic.relu,
        arithmetic.sigmoid,
        arithmetic.clamp,
        arithmetic.clamp,
    )
    maximum, minimum = arithmetic.maximum, arithmetic.minimum
    masked_fill, isnan, isfinite = (
        arithmetic.masked_fill,
        arithmetic.isnan,
        arithmetic.isfinite,
    )
    eq, ne, lt, le = arithmetic.eq, arithmetic.ne, arithmetic.lt, arithmetic.le
    gt, ge = arithmetic.gt, arithmetic.ge

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """The tensor where ``condition`` holds, else ``other``."""
        return arithmetic.where(condition, self, other)

    __add__, __radd__ = arithmetic.add, arithmetic.reflected("__radd__", arithmetic.add)
    __sub__, __rsub__ = arithmetic.sub, arithmetic.rsub
    __mul__, __rmul__ = arithmetic.mul, arithmetic.reflected("__rmul__", arithmetic.mul)
    __truediv__, __rtruediv__ = arithmetic.div, arithmetic.rdiv
    __floordiv__, __rfloordiv__ = arithmetic.floor_divide, arithmetic.rfloor_divide
    __mod__, __rmod__ = arithmetic.remainder, arithmetic.rremainder
    __pow__, __rpow__ = arithmetic.pow, arithmetic.rpow
    __neg__, __abs__, __invert__ = arithmetic.neg, arithmetic.abs, arithmetic.logical_not
    __and__, __or__, __xor__ = (
        arithmetic.logical_and,
        arithmetic.logical_or,
        arithmetic.logical_xor,
    )
    __rand__ = arithmetic.reflected("__rand__", __and__)
    __ror__ = arithmetic.reflected("__ror__", __or__)
    __rxor__ = arithmetic.reflected("__rxor__", __xor__)
    __lshift__, __rshift__ = bits.bitwise_left_shift, bits.bitwise_right_shift
    __rlshift__, __rrshift__ = bits.reversed_left_shift, bits.reversed_right_shift
    __eq__, __ne__ = arithmetic.equals, arithmetic.differs
    __lt__, __le__ = arithmetic.lt, arithmetic.le
    __gt__, __ge__ = arithmetic.gt, arithmetic.ge

    # reductions
    sum, prod, mean = reductions.sum, reductions.prod, reductions.mean
    max, min, amax, amin = reductions.max, reductions.min, reductions.amax, reductions.amin
    argmax, argmin = reductions.argmax, reductions.argmin
    any, all = reductions.any, reductions.all
    aminmax, count_nonzero = reductions.aminmax, reductions.count_nonzero
    nansum, nanmean = reductions.nansum, reductions.nanmean
    softmax, log_softmax = reductions.softmax, reductions.log_softmax
    logsumexp = reductions.logsumexp

    # shapes and products
    view, reshape, flatten = shaping.reshape, shaping.reshape, shaping.flatten
    permute, transpose, t = shaping.permute, shaping.transpose, shaping.t
    squeeze, unsqueeze, flip = shaping.squeeze, shaping.unsqueeze, shaping.flip
    expand, expand_as = shaping.expand, shaping.expand_as
    __matmul__, __rmatmul__ = products.matmul, products.rmatmul
    __getitem__, __setitem__ = indexing.getitem, indexing.setitem
    gather, index_select, cumsum = gathering.gather, gathering.index_select, gathering.cumsum
    take_along_dim, take = gathering.take_along_dim, gathering.take
    sort, argsort, topk = sorting.sort, sorting.argsort, sorting.topk
    msort, kthvalue = sorting.msort, sorting.kthvalue

    def view_as(self, other: Tensor) -> Tensor:
        """In the shape of ``other``."""
        return shaping.reshape(self, other.value.type.shape)

    reshape_as = view_as

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return shaping.permute(self, *reversed(range(self.ndim)))

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return rearrange.matrix_transpose(self, "mT")

    @property
    def H(self) -> Tensor:
        """A matrix transposed; the numbers are real."""
        return rearrange.matrix_transpose(self, "H")

    @property
    def mH(self) -> Tensor:
        """The last two axes exchanged."""
        return rearrange.matrix_transpose(self, "mH")

    # in place
    add_, sub_, mul_, div_ = inplace.add_, inplace.sub_, inplace.mul_, inplace.div_
    pow_, neg_, exp_, sqrt_ = inplace.pow_, inplace.neg_, inplace.exp_, inplace.sqrt_
    addcmul_, addcdiv_, lerp_ = inplace.addcmul_, inplace.addcdiv_, inplace.lerp_
    clamp_, relu_, masked_fill_ = inplace.clamp_, inplace.relu_, inplace.masked_fill_
    fill_, zero_, copy_ = inplace.fill_, inplace.zero_, inplace.copy_
    __iadd__, __isub__ = inplace.add_, inplace.sub_
    __imul__, __itruediv__ = inplace.mul_, inplace.div_
    __ipow__ = inplace.pow_
    __imod__, __ifloordiv__ = inplace.FORMS["remainder_"], inplace.FORMS["floor_divide_"]
    __iand__, __ior__ = inplace.FORMS["bitwise_and_"], inplace.FORMS["bitwise_or_"]
    __ixor__ = inplace.FORMS["bitwise_xor_"]
    __ilshift__ = inplace.FORMS["bitwise_left_shift_"]
    __irshift__ = inplace.FORMS["bitwise_right_shift_"]


def _unpickle(kind: type[Tensor], array: Array, requires_grad: bool) -> Tensor:
    return kind._from_array(array, requires_grad)


TensorState._plain = Tensor
