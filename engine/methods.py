"""Families of functions in, methods of ``Tensor`` out: ``x.roll(1)`` is ``engine.roll(x, 1)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import (
    bits,
    blocks,
    creation,
    gamma,
    indexing,
    inplace,
    masks,
    matrices,
    norms,
    ordering,
    overlays,
    overwriting,
    parts,
    predicates,
    products,
    rearrange,
    running,
    sampling,
    scattering,
    special,
    specials,
    statistics,
    triangles,
    trigonometry,
    windows,
)

if TYPE_CHECKING:
    from engine.tensor import Tensor


class Methods:
    """Methods that are free functions of the file for their family."""

    new_empty = creation.new_empty
    new_full = creation.new_full
    new_ones = creation.new_ones
    new_tensor = creation.new_tensor
    new_zeros = creation.new_zeros

    bernoulli = sampling.bernoulli
    bernoulli_ = sampling.bernoulli_
    cauchy_ = sampling.cauchy_
    exponential_ = sampling.exponential_
    geometric_ = sampling.geometric_
    log_normal_ = sampling.log_normal_
    multinomial = sampling.multinomial
    normal_ = sampling.normal_
    random_ = sampling.random_
    uniform_ = sampling.uniform_

    allclose = predicates.allclose
    bitwise_and = predicates.bitwise_and
    bitwise_not = predicates.bitwise_not
    bitwise_or = predicates.bitwise_or
    bitwise_xor = predicates.bitwise_xor
    equal = predicates.equal
    greater = predicates.greater
    greater_equal = predicates.greater_equal
    isclose = predicates.isclose
    isinf = predicates.isinf
    isneginf = predicates.isneginf
    isposinf = predicates.isposinf
    isreal = predicates.isreal
    less = predicates.less
    less_equal = predicates.less_equal
    logical_and = predicates.logical_and
    logical_not = predicates.logical_not
    logical_or = predicates.logical_or
    logical_xor = predicates.logical_xor
    not_equal = predicates.not_equal
    signbit = predicates.signbit

    bitwise_left_shift = bits.bitwise_left_shift
    bitwise_right_shift = bits.bitwise_right_shift

    kron = blocks.kron

    index_put = indexing.index_put

    cholesky = matrices.cholesky
    cholesky_inverse = matrices.cholesky_inverse
    cholesky_solve = matrices.cholesky_solve
    cross = matrices.cross
    det = matrices.det
    inverse = matrices.inverse
    logdet = matrices.logdet
    lu = matrices.lu
    lu_solve = matrices.lu_solve
    matrix_exp = matrices.matrix_exp
    matrix_power = matrices.matrix_power
    orgqr = matrices.orgqr
    pinverse = matrices.pinverse
    qr = matrices.qr
    slogdet = matrices.slogdet
    svd = matrices.svd
    triangular_solve = matrices.triangular_solve

    addbmm = products.addbmm
    addmm = products.addmm
    addmv = products.addmv
    addr = products.addr
    baddbmm = products.baddbmm
    bmm = products.bmm
    dot = products.dot
    ger = products.ger
    inner = products.inner
    matmul = products.matmul
    mm = products.mm
    mv = products.mv
    outer = products.outer
    vdot = products.vdot

    digamma = gamma.digamma
    erfc = gamma.erfc
    erfinv = gamma.erfinv
    i0 = gamma.i0
    lgamma = gamma.lgamma
    mvlgamma = gamma.mvlgamma

    def polygamma(self, n: int) -> Tensor:
        """The n-th derivative of ``digamma``."""
        return special.polygamma(n, self)  # type: ignore[arg-type]

    argwhere = masks.argwhere
    masked_scatter = masks.masked_scatter
    masked_select = masks.masked_select
    nonzero = masks.nonzero
    nonzero_static = masks.nonzero_static

    diagonal_scatter = overlays.diagonal_scatter
    select_scatter = overlays.select_scatter
    slice_scatter = overlays.slice_scatter

    addbmm_ = overwriting.addbmm_
    addmm_ = overwriting.addmm_
    addmv_ = overwriting.addmv_
    addr_ = overwriting.addr_
    baddbmm_ = overwriting.baddbmm_
    index_add_ = overwriting.index_add_
    index_copy_ = overwriting.index_copy_
    index_fill_ = overwriting.index_fill_
    index_put_ = overwriting.index_put_
    index_reduce_ = overwriting.index_reduce_
    masked_scatter_ = overwriting.masked_scatter_
    put_ = overwriting.put_
    scatter_ = overwriting.scatter_
    scatter_add_ = overwriting.scatter_add_
    scatter_reduce_ = overwriting.scatter_reduce_
    tril_ = overwriting.tril_
    triu_ = overwriting.triu_

    index_add = scattering.index_add
    index_copy = scattering.index_copy
    index_fill = scattering.index_fill
    index_reduce = scattering.index_reduce
    put = scattering.put
    scatter = scattering.scatter
    scatter_add = scattering.scatter_add
    scatter_reduce = scattering.scatter_reduce

    trace = triangles.trace
    tril = triangles.tril
    triu = triangles.triu

    as_strided = windows.as_strided
    unfold = windows.unfold

    chunk = parts.chunk
    dsplit = parts.dsplit
    hsplit = parts.hsplit
    split = parts.split
    split_with_sizes = parts.split_with_sizes
    tensor_split = parts.tensor_split
    unbind = parts.unbind
    unsafe_chunk = parts.unsafe_chunk
    unsafe_split = parts.unsafe_split
    vsplit = parts.vsplit

    adjoint = rearrange.adjoint
    diagflat = rearrange.diagflat
    broadcast_to = rearrange.broadcast_to
    diag = rearrange.diag
    diag_embed = rearrange.diag_embed
    diagonal = rearrange.diagonal
    fliplr = rearrange.fliplr
    flipud = rearrange.flipud
    moveaxis = rearrange.moveaxis
    movedim = rearrange.movedim
    narrow = rearrange.narrow
    ravel = rearrange.ravel
    repeat = rearrange.repeat
    repeat_interleave = rearrange.repeat_interleave
    roll = rearrange.roll
    rot90 = rearrange.rot90
    select = rearrange.select
    swapaxes = rearrange.swapaxes
    swapdims = rearrange.swapdims
    tile = rearrange.tile
    unflatten = rearrange.unflatten

    absolute = specials.absolute
    addcdiv = specials.addcdiv
    addcmul = specials.addcmul
    clamp_max = specials.clamp_max
    clamp_min = specials.clamp_min
    copysign = specials.copysign
    divide = specials.divide
    exp2 = specials.exp2
    fix = specials.fix
    float_power = specials.float_power
    fmax = specials.fmax
    fmin = specials.fmin
    fmod = specials.fmod
    frac = specials.frac
    heaviside = specials.heaviside
    hypot = specials.hypot
    ldexp = specials.ldexp
    lerp = specials.lerp
    log10 = specials.log10
    log2 = specials.log2
    logaddexp = specials.logaddexp
    logaddexp2 = specials.logaddexp2
    logit = specials.logit
    multiply = specials.multiply
    nan_to_num = specials.nan_to_num
    negative = specials.negative
    positive = specials.positive
    round = specials.round
    sgn = specials.sgn
    subtract = specials.subtract
    trunc = specials.trunc
    xlog1py = specials.xlog1py
    xlogy = specials.xlogy

    dist = norms.dist
    norm = norms.norm
    renorm = norms.renorm

    median = ordering.median
    mode = ordering.mode
    nanmedian = ordering.nanmedian
    nanquantile = ordering.nanquantile
    quantile = ordering.quantile
    unique = ordering.unique
    unique_consecutive = ordering.unique_consecutive

    cummax = running.cummax
    cummin = running.cummin
    cumprod = running.cumprod
    diff = running.diff
    logcumsumexp = running.logcumsumexp

    bincount = statistics.bincount
    corrcoef = statistics.corrcoef
    cov = statistics.cov
    histc = statistics.histc
    histogram = statistics.histogram
    std = statistics.std
    var = statistics.var

    acos = trigonometry.acos
    acosh = trigonometry.acosh
    arccos = trigonometry.arccos
    arccosh = trigonometry.arccosh
    arcsin = trigonometry.arcsin
    arcsinh = trigonometry.arcsinh
    arctan = trigonometry.arctan
    arctan2 = trigonometry.arctan2
    arctanh = trigonometry.arctanh
    asin = trigonometry.asin
    asinh = trigonometry.asinh
    atan = trigonometry.atan
    atan2 = trigonometry.atan2
    atanh = trigonometry.atanh
    cosh = trigonometry.cosh
    deg2rad = trigonometry.deg2rad
    rad2deg = trigonometry.rad2deg
    sinc = trigonometry.sinc
    sinh = trigonometry.sinh
    tan = trigonometry.tan


for _name, _form in inplace.FORMS.items():
    setattr(Methods, _name, _form)
