"""Sequences of different lengths in, one packed batch out, and back.

A ``PackedSequence`` holds what PyTorch's does: the rows of all sequences that have a step 0, then
those that have a step 1, and so on, longest sequence first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.creation import full, tensor
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.shaping import cat, stack
from engine.tensor import Tensor

Counts = npt.NDArray[np.int64]


class PackedSequence(NamedTuple):
    """``data`` [sum of lengths, ...], ``batch_sizes`` [T] (int64), and how rows were sorted."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None
    steps: tuple[int, ...] = ()  # batch_sizes as numbers, which a traced step can count with


def pack_padded_sequence(
    input: Tensor,
    lengths: Any,
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """[T, N, ...] and N lengths -> packed. Lengths must fall unless ``enforce_sorted`` is False.

    Lengths are needed as numbers: under ``jit`` they are a list, not a traced tensor. Raises
    RuntimeError for lengths that rise, are not positive, or do not fit.
    """
    x = input.transpose(0, 1) if batch_first else input
    counts = _counts(lengths)
    if len(counts) != x.shape[1]:
        text = f"expected {x.shape[1]} lengths, one for each sequence, got {len(counts)}"
        raise ShapeError(message(user_location(), text))
    order = back = None
    if not enforce_sorted:
        positions = np.argsort(-counts, kind="stable")
        order, back, counts = tensor(positions), tensor(np.argsort(positions)), counts[positions]
        x = x.index_select(1, order)
    if len(counts) and (counts[-1] <= 0 or (np.diff(counts) > 0).any()):
        text = f"lengths must be positive and fall from sequence to sequence, got {list(counts)}"
        hint = "pass enforce_sorted=False for other orders"
        raise ShapeError(message(user_location(), text, hint))
    if counts.max(initial=0) > x.shape[0]:
        text = f"a length of {counts.max()} for sequences of {x.shape[0]} steps"
        raise ShapeError(message(user_location(), text))
    sizes = (counts[None, :] > np.arange(counts.max(initial=0))[:, None]).sum(1)
    data = _take_rows(x, sizes)
    return PackedSequence(data, tensor(sizes.astype(np.int64)), order, back, tuple(map(int, sizes)))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Packed -> ([T, N, ...] filled with ``padding_value``, lengths [N] (int64))."""
    padded, mask, lengths = masked(sequence)
    shape = (*mask.shape[:2], *([1] * (padded.dim() - 2)))
    padded = padded.masked_fill(mask.reshape(shape).logical_not(), padding_value)
    steps = padded.shape[0]
    if total_length is not None:
        if total_length < steps:
            text = f"total_length {total_length} is less than the longest sequence, {steps}"
            raise ValueError(message(user_location(), text))
        if total_length > steps:
            tail = (total_length - steps, *padded.shape[1:])
            padded = cat([padded, full(tail, padding_value, dtype=padded.dtype)])
    found = tensor(lengths)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        found = found.index_select(0, sequence.unsorted_indices)
    return (padded.transpose(0, 1) if batch_first else padded), found


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors [T_i, ...] -> one [T, N, ...] of the longest length ([N, T, ...] batch first)."""
    longest = max(x.shape[0] for x in sequences)
    rows = []
    for x in sequences:
        rest = (longest - x.shape[0], *x.shape[1:])
        fill = full(rest, padding_value, dtype=x.dtype)
        rows.append(cat([x, fill] if padding_side == "right" else [fill, x]))
    return stack(rows, 0 if batch_first else 1)


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Tensors [T_i, ...] -> packed."""
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """[T, N, ...] and lengths -> a tensor [T_i, ...] for each sequence."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [x[at, : int(n)] for at, n in enumerate(_counts(lengths))]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Packed -> a tensor [T_i, ...] for each sequence."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


def masked(packed: PackedSequence) -> tuple[Tensor, Tensor, Counts]:
    """As [T, N, ...] in packed order, which steps there are ([T, N, 1], bool), and lengths."""
    sizes = _sizes(packed)
    steps, batch = len(sizes), int(sizes.max(initial=0))
    mask = np.arange(batch)[None, :] < sizes[:, None]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    places = np.where(mask, starts[:, None] + np.arange(batch)[None, :], 0)
    rows = packed.data.index_select(0, tensor(places.reshape(-1).astype(np.int64)))
    padded = rows.reshape(steps, batch, *packed.data.shape[1:])
    return padded, tensor(mask[:, :, None]), mask.sum(0).astype(np.int64)


def packed_as(like: PackedSequence, x: Tensor, lengths: Counts) -> PackedSequence:
    """[T, N, ...] in the packed order of ``like``, packed."""
    return like._replace(data=_take_rows(x, _sizes(like)))


def _take_rows(x: Tensor, sizes: Counts) -> Tensor:
    batch = x.shape[1]
    parts = [at * batch + np.arange(n) for at, n in enumerate(sizes)]
    places = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    flat = x.reshape(x.shape[0] * batch, *x.shape[2:])
    return flat.index_select(0, tensor(places.astype(np.int64)))


def _sizes(packed: PackedSequence) -> Counts:
    """How many sequences have each step."""
    return _counts(packed.steps or packed.batch_sizes)


def _counts(lengths: Any) -> Counts:
    values = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    return np.asarray(values, np.int64)
