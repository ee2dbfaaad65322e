"""Figures and images in, PNG files out; matplotlib (``pip install tracefuse[examples]``) draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.train.packages import need

Array = npt.NDArray[Any]


def draw_curves(
    history: Sequence[Mapping[str, float]],
    names: Sequence[str],
    path: Path,
    title: str,
    log: bool = True,
) -> None:
    """The named figures of every epoch, as lines over the epochs."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(7, 4))
    for name in names:
        axes.plot(range(1, len(history) + 1), [row[name] for row in history], label=name)
    axes.set(xlabel="epoch", title=title, yscale="log" if log else "linear")
    axes.legend()
    _write(figure, path)


def draw_sheet(
    images: Array,
    path: Path,
    title: str,
    labels: Sequence[str] = (),
    wrong: Sequence[bool] = (),
    columns: int = 10,
) -> None:
    """Images [n, h, w] or [n, h, w, 3] in rows; above each its label, red where ``wrong``."""
    plt = _pyplot()
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns, 1.15 * rows), squeeze=False)
    for place in axes.flat:
        place.axis("off")
    for at, (place, image) in enumerate(zip(axes.flat, images, strict=False)):
        place.imshow(np.asarray(image), cmap="gray_r")
        if labels:
            red = bool(wrong) and wrong[at]
            place.set_title(labels[at], color="red" if red else "black", fontsize=9)
    figure.suptitle(title)
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    _pyplot().close(figure)


def _pyplot() -> Any:
    plt = need("matplotlib.pyplot")  # half a second, for drawing alone
    plt.switch_backend("agg")
    return plt
