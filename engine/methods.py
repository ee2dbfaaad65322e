"""Families of functions in, methods of ``Tensor`` out: ``x.roll(1)`` is ``engine.roll(x, 1)``."""

from __future__ import annotations

from engine import predicates, rearrange, specials, trigonometry


class Methods:
    """Methods that are free functions of the file for their family."""

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

    adjoint = rearrange.adjoint
    broadcast_to = rearrange.broadcast_to
    chunk = rearrange.chunk
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
    split = rearrange.split
    split_with_sizes = rearrange.split_with_sizes
    swapaxes = rearrange.swapaxes
    swapdims = rearrange.swapdims
    tensor_split = rearrange.tensor_split
    tile = rearrange.tile
    unbind = rearrange.unbind
    unflatten = rearrange.unflatten

    addcdiv = specials.addcdiv
    addcmul = specials.addcmul
    clamp_max = specials.clamp_max
    clamp_min = specials.clamp_min
    copysign = specials.copysign
    exp2 = specials.exp2
    fix = specials.fix
    fmax = specials.fmax
    fmin = specials.fmin
    fmod = specials.fmod
    frac = specials.frac
    heaviside = specials.heaviside
    hypot = specials.hypot
    lerp = specials.lerp
    log10 = specials.log10
    log2 = specials.log2
    logaddexp = specials.logaddexp
    logaddexp2 = specials.logaddexp2
    logit = specials.logit
    nan_to_num = specials.nan_to_num
    negative = specials.negative
    positive = specials.positive
    round = specials.round
    sgn = specials.sgn
    trunc = specials.trunc
    xlog1py = specials.xlog1py
    xlogy = specials.xlogy

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
