"""A folder of recordings in, samples by label out: what is spoken is the name of the folder."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def read_recordings(folder: Path) -> tuple[dict[str, list[Array]], int]:
    """Every ``folder/LABEL/*.wav`` by its label, in order of names, and their samples a second.

    A recording is float32 [n] in [-1, 1], the mean of its channels. Raises FileNotFoundError where
    there is none, and ValueError where rates differ or samples are not whole numbers of 1, 2 or 4
    bytes.

    >>> spoken, rate = read_recordings(Path("voices"))
    >>> spoken["7"][0].shape
    (2745,)
    """
    found: dict[str, list[Array]] = {}
    rates: dict[int, Path] = {}
    for path in sorted(folder.glob("*/*.wav")):
        samples, rate = read_wave(path)
        found.setdefault(path.parent.name, []).append(samples)
        rates.setdefault(rate, path)
    if not found:
        raise FileNotFoundError(f"{folder}: no recordings LABEL/*.wav in this folder")
    if len(rates) > 1:
        told = ", ".join(f"{path} has {rate} Hz" for rate, path in rates.items())
        raise ValueError(f"recordings of one folder have one rate: {told}")
    return found, next(iter(rates))


def read_wave(path: Path) -> tuple[Array, int]:
    """The samples of a WAV file as float32 [n] in [-1, 1], channels averaged; samples a second."""
    with wave.open(str(path)) as file:
        size, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
        data = file.readframes(file.getnframes())
    if size == 1:  # the one width that has no sign
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    elif size in (2, 4):
        samples = np.frombuffer(data, f"<i{size}").astype(np.float32) / 2 ** (8 * size - 1)
    else:
        raise ValueError(f"{path}: samples of {size} bytes; of 1, 2 and 4 can be read")
    return samples.reshape(-1, channels).mean(1, dtype=np.float32), rate
