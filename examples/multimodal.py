"""Pictures and recordings of digits in, one space in which a digit lies near its spoken name out.

Two encoders are trained by a symmetric contrastive loss with a learned temperature (Radford,
2021, https://arxiv.org/abs/2103.00020), in groups that hold every digit once, so that no pair
which belongs together is pushed apart. Speed, shift, loudness, noise and the mel spectrogram are
part of the compiled step. There is one recording of each digit (the voice of the package
captcha): what is held out are pictures, and treatments of those recordings.

    python examples/multimodal.py
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.train import draw_curves, fit, need, options, positive, read, read_recordings

LENGTH = 4096  # samples that are heard, about half a second
FRAME, HOP, BANDS = 256, 128, 24  # of the spectrogram: 31 frames


# What is heard.


def mel_filters(rate):
    """Triangles [FRAME // 2 + 1, BANDS], evenly spaced in mel from 80 Hz to half the rate."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (80, rate / 2))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    at = np.arange(FRAME // 2 + 1)[:, None] * rate / FRAME
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


class Hearing(nn.Module):
    """Digits in, spectrograms of treated recordings of them out; nothing in it is trained."""

    def __init__(self, spoken, rate):
        super().__init__()
        padded = np.zeros((10, LENGTH), np.float32)
        for digit in range(10):
            samples = spoken[str(digit)][0]
            padded[digit, : len(samples)] = samples / samples.std()
        angles = 2 * np.pi * np.outer(np.arange(FRAME), np.arange(FRAME // 2 + 1)) / FRAME
        waves = np.hanning(FRAME)[:, None] * np.concatenate([np.cos(angles), np.sin(angles)], 1)
        self.register_buffer("samples", torch.from_numpy(padded))
        self.register_buffer("waves", torch.from_numpy(waves.astype(np.float32)))
        self.register_buffer("mel", torch.from_numpy(mel_filters(rate)))

    def forward(self, digits):
        """[n] -> [n, 1, 31, BANDS]: at a speed, start and loudness of its own, in noise."""
        n = digits.shape[0]
        speed = torch.exp(torch.rand(n, 1) * 0.7 - 0.35)
        start = torch.rand(n, 1) * 0.12
        at = (torch.linspace(0, 1, LENGTH) - start) * speed * 2 - 1  # -1 and 1 are the two ends
        grid = torch.stack([at, torch.zeros_like(at)], 2)[:, None]
        heard = F.grid_sample(self.samples[digits][:, None, None], grid, align_corners=True)
        decibels = torch.rand(n, 1) * 20 - 8  # of the noise below the voice
        noisy = heard[:, 0, 0] + 10 ** (-decibels / 20) * torch.randn(n, LENGTH)
        noisy = noisy * torch.exp(torch.randn(n, 1))
        return self.spectrogram(noisy)

    def spectrogram(self, samples):
        """[n, LENGTH] -> logarithms of the energies in mel bands, centred and scaled."""
        both = samples.unfold(1, FRAME, HOP) @ self.waves
        real, imaginary = both.chunk(2, 2)
        energy = torch.log((real**2 + imaginary**2) @ self.mel + 1e-6)
        centred = energy - energy.mean((1, 2), keepdim=True)
        return (centred / centred.std((1, 2), keepdim=True))[:, None]


# The network.


def encoder(widths, features, space):
    """Convolutions with BatchNorm and pooling by 2, then a linear layer into the space."""
    layers = []
    for narrow, wide in zip((1, *widths), widths, strict=False):
        layers += [nn.Conv2d(narrow, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, space))


class Pair(nn.Module):
    """An encoder for pictures, one for spectrograms, and the scale of their similarities."""

    def __init__(self, width, space):
        super().__init__()
        self.seeing = encoder((width, 2 * width), 2 * width * 4, space)
        self.hearing = encoder((width, 2 * width, 2 * width), 2 * width * 9, space)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.1)))

    def forward(self, pictures, spectrograms):
        """Points on the unit sphere for both, [n, space] each."""
        seen, heard = self.seeing(pictures), self.hearing(spectrograms)
        return F.normalize(seen, dim=1), F.normalize(heard, dim=1)


# What is seen, in which groups, and how good the answers are.


def jitter(pictures):
    """Pictures [n, 1, 8, 8], each turned, stretched and shifted a little at random."""
    n = pictures.shape[0]
    turn, wide, high, right, down = (torch.rand(n) * 2 - 1 for _ in range(5))
    cos, sin = torch.cos(0.2 * turn), torch.sin(0.2 * turn)
    rows = [
        torch.stack([cos * (1 + 0.1 * wide), -sin, 0.15 * right], 1),
        torch.stack([sin, cos * (1 + 0.1 * high), 0.15 * down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def groups(labels, rng):
    """Rows of ten positions, in each every digit once, and each position at most once."""
    columns = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    return np.stack([column[: min(map(len, columns))] for column in columns], 1)


def retrieval(seen, heard, labels, rng, rounds=20):
    """How often the nearest of ten, one of each digit, is the right one: both ways.

    ``seen`` and ``heard`` [n, space] are of unit length, and of the same ``labels`` [n].
    """
    places = [np.flatnonzero(labels == digit) for digit in range(10)]
    found = np.zeros(2)
    for _ in range(rounds):
        drawn = np.stack([rng.choice(place, len(labels)) for place in places], 1)
        for way, (asked, given) in enumerate(((seen, heard), (heard, seen))):
            near = np.einsum("nd,nkd->nk", asked, given[drawn])
            found[way] += (near.argmax(1) == labels).mean() / rounds
    return {"picture to recording": found[0], "recording to picture": found[1]}


# The baseline.


def correlated(train, test, components=9):
    """Canonical correlation of training pairs; where it puts the test pairs, of unit length.

    Each of ``train`` and ``test`` is (pictures [n, ...], spectrograms [n, ...]).
    """
    flat = [[part.reshape(len(part), -1) for part in pair] for pair in (train, test)]
    main = need("sklearn.decomposition").PCA(100).fit(flat[0][1])  # NIPALS wants few columns
    linear = need("sklearn.cross_decomposition").CCA(components, max_iter=2000)
    linear.fit(flat[0][0], main.transform(flat[0][1]))
    both = linear.transform(flat[1][0], main.transform(flat[1][1]))
    return [points / np.linalg.norm(points, axis=1, keepdims=True) for points in both]


# The run.


def draw_matrix(pictures, spectrograms, cosines, path):
    """Cosines of ten pictures (rows) and ten recordings (columns), with both at the rims."""
    plt = need("matplotlib.pyplot")
    figure, axes = plt.subplots(11, 11, figsize=(7, 7))
    for row, column in np.ndindex(11, 11):
        place = axes[row, column]
        place.set(xticks=[], yticks=[])
        if row and column:
            cosine = cosines[row - 1, column - 1]
            place.set_facecolor(plt.get_cmap("RdBu_r")((cosine + 1) / 2))
            place.text(0.5, 0.5, f"{cosine:.2f}", ha="center", va="center", fontsize=8)
        elif row:
            place.imshow(pictures[row - 1, 0], cmap="gray_r")
        elif column:
            place.imshow(spectrograms[column - 1, 0].T, origin="lower", aspect="auto")
        else:
            place.axis("off")
    figure.suptitle("Unseen pictures, treated recordings, and how near they are")
    figure.savefig(path, dpi=90, bbox_inches="tight")
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare with canonical correlation, draw; the accuracies of retrieval of both."""
    parser = options("multimodal", __doc__.splitlines()[0], epochs=60, batch_size=16, lr=3e-3)
    parser.add_argument(
        "--width", type=positive, default=24, help="channels of the first convolutions"
    )
    parser.add_argument("--space", type=positive, default=32, help="dimensions of the common space")
    given = read(parser, arguments, {"epochs": 2, "width": 8})
    raw = need("sklearn.datasets").load_digits()
    x, x_test, y, y_test = need("sklearn.model_selection").train_test_split(
        (raw.images[:, None] / 8.0 - 1.0).astype(np.float32),
        raw.target.astype(np.int64),
        test_size=0.2,
        stratify=raw.target,
        random_state=0,
    )
    voices = read_recordings(Path(need("captcha").__file__).parent / "data")
    hearing, pair = Hearing(*voices), Pair(given.width, given.space)
    optimizer = torch.optim.AdamW(pair.parameters(), lr=given.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)
    wanted = torch.arange(10).repeat(given.batch_size)

    @torch.jit
    def step(pictures, digits):
        optimizer.zero_grad()
        with torch.no_grad():
            pictures, spectrograms = jitter(pictures), hearing(digits)
        seen, heard = (
            points.reshape(given.batch_size, 10, given.space)
            for points in pair(pictures, spectrograms)
        )
        near = torch.exp(pair.scale) * torch.bmm(seen, heard.transpose(1, 2))
        to_heard = F.cross_entropy(near.reshape(-1, 10), wanted)
        to_seen = F.cross_entropy(near.transpose(1, 2).reshape(-1, 10), wanted)
        loss = (to_heard + to_seen) / 2
        loss.backward()
        optimizer.step()
        return loss

    @torch.jit
    def embed(pictures, spectrograms):
        with torch.no_grad():
            return pair(pictures, spectrograms)

    @torch.jit
    def listen(digits):
        with torch.no_grad():
            return hearing(digits)

    # the same treatments test every epoch, and the run's own stream goes on as if there were none
    state = torch.get_rng_state()
    torch.manual_seed(1)
    sounds = listen(torch.from_numpy(y_test)).numpy()
    many = np.tile(np.arange(len(y)), 4)  # four treatments of a picture's digit are paired with it
    pairs = x[many], listen(torch.from_numpy(y[many])).numpy()
    torch.set_rng_state(state)

    def figures():
        pair.eval()
        both = embed(torch.from_numpy(x_test), torch.from_numpy(sounds))
        return retrieval(*(part.numpy() for part in both), y_test, np.random.default_rng(0))

    def epoch(number):
        pair.train()
        rows = groups(y, np.random.default_rng((given.seed, number)))
        losses = []
        for start in range(0, len(rows) - given.batch_size + 1, given.batch_size):
            chosen = rows[start : start + given.batch_size].reshape(-1)
            losses.append(step(torch.from_numpy(x[chosen]), torch.from_numpy(y[chosen])).item())
        schedule.step()
        return {"loss": np.mean(losses), **figures()}

    history = fit(
        epoch,
        given.epochs,
        {"pair": pair, "optimizer": optimizer, "schedule": schedule},
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    reached = figures()
    linear = retrieval(*correlated(pairs, (x_test, sounds)), y_test, np.random.default_rng(0))
    draw_curves(history, ["loss"], given.out / "loss.png", "Pictures and recordings of digits")
    first = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
    both = embed(torch.from_numpy(x_test[first]), torch.from_numpy(sounds[first]))
    seen, heard = (part.numpy() for part in both)
    draw_matrix(x_test[first], sounds[first], seen @ heard.T, given.out / "matrix.png")
    print(f"{'':22}{'contrastive':>14}{'canonical correlation':>24}")
    for name in reached:
        print(f"{name:22}{reached[name]:>14.2%}{linear[name]:>24.2%}")
    return {**reached, **{f"{name}, baseline": value for name, value in linear.items()}}


if __name__ == "__main__":
    main()
