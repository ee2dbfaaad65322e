"""Spoken characters in noise in, the characters as text out: convolutions, a GRU and CTC.

The voice is that of the `captcha` package, which has one recording of each digit and letter. Every
mixture strings three to six of them together, each at its own speed and loudness, with gaps or
overlaps between them and noise behind them; those that are tested were never heard in training.

    python examples/speech.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.train import draw_curves, fit, need, options, positive, read, read_recordings

WINDOW, HOP, BANDS = 256, 128, 40  # samples, samples, mel bands
SECONDS = 5.0  # of every mixture
MOST = 6  # characters
TESTED = 400


# What is heard.


def voices():
    """The characters in order, a recording of each, and samples a second."""
    found, rate = read_recordings(Path(need("captcha").__file__).parent / "data")
    return sorted(found), [found[name][0] for name in sorted(found)], rate


def noise_of(rng):
    """A long stretch of noise, more of it at low pitch; every mixture takes a part of it."""
    white = rng.standard_normal(1 << 20, np.float32)
    return white + 2 * np.convolve(white, np.ones(4, np.float32) / 4, "same")


def mixture(rng, recordings, rate, noise):
    """Samples of one mixture and which characters are said in it."""
    sound = np.zeros(int(SECONDS * rate), np.float32)
    said = rng.integers(len(recordings), size=rng.integers(3, MOST + 1))
    place = rng.integers(0, rate // 4)
    for number, which in enumerate(said):
        one = recordings[which]
        places = np.arange(0, len(one) - 1, rng.uniform(0.8, 1.25))
        one = np.interp(places, np.arange(len(one)), one) * rng.uniform(0.5, 1.0)
        end = place + len(one)
        if end > len(sound):  # slow speakers say less
            said = said[:number]
            break
        sound[place:end] += one
        place = end + int(rng.uniform(-0.04, 0.15) * rate)
    start = rng.integers(len(noise) - len(sound))
    behind = noise[start : start + len(sound)]
    return sound + np.float32(rng.uniform(0.01, 0.05)) * behind, said


def mel_bands(rate):
    """Weights [frequencies, bands] of triangles that are equally wide in mel."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    at = np.fft.rfftfreq(WINDOW, 1 / rate)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    sides = np.minimum((at - low) / (middle - low), (high - at) / (high - middle))
    return np.clip(sides, 0, None).astype(np.float32)


def spectrogram(sound, bands):
    """Log-mel energies [frames, bands], each band around zero."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32))) ** 2
    energy = np.log(power @ bands + 1e-3)
    return energy - energy.mean(0)


def mixtures(seed, count, recordings, rate):
    """Spectrograms [n, frames, bands], padded characters [n, MOST] and how many [n]."""
    rng, bands = np.random.default_rng(seed), mel_bands(rate)
    noise = noise_of(rng)
    inputs, said, lengths = [], np.zeros((count, MOST), np.int64), np.zeros(count, np.int64)
    for at in range(count):
        sound, characters = mixture(rng, recordings, rate, noise)
        inputs.append(spectrogram(sound, bands))
        said[at, : len(characters)] = characters + 1  # 0 is CTC's blank
        lengths[at] = len(characters)
    return np.stack(inputs), said, lengths


# The network, and how its answers are read and judged.


class Net(nn.Module):
    """Spectrograms [n, frames, bands] to log-probabilities [frames / 2, n, characters + 1]."""

    def __init__(self, characters, width):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(BANDS, width, 5, stride=2, padding=2),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, characters + 1)

    def forward(self, x):
        heard = self.front(x.transpose(1, 2)).transpose(1, 2)
        return F.log_softmax(self.head(self.gru(heard)[0]), -1).transpose(0, 1)


def greedy(best):
    """The likeliest label of each frame [frames] to characters: repeats and blanks go."""
    changed = np.flatnonzero(np.diff(best, prepend=0))
    return [int(label) for label in best[changed] if label]


def distance(one, other):
    """Characters to insert, delete or replace until ``one`` is ``other``."""
    row = list(range(len(other) + 1))
    for at, a in enumerate(one, 1):
        before, row[0] = row[0], at
        for k, b in enumerate(other, 1):
            before, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, before + (a != b))
    return row[-1]


def error_rate(heard, said, lengths):
    """Wrong characters over all that were said."""
    pairs = zip(heard, said, lengths, strict=True)
    return sum(distance(h, list(s[:n])) for h, s, n in pairs) / lengths.sum()


# The baseline.


def by_templates(inputs, recordings, rate):
    """The baseline: pieces between quiet frames, each read as the nearest single recording."""
    bands = mel_bands(rate)

    def shape(frames):
        at = np.linspace(0, len(frames) - 1, 16)
        part = np.stack([np.interp(at, np.arange(len(frames)), band) for band in frames.T])
        part = part - part.mean()
        return part.ravel() / (np.linalg.norm(part) + 1e-9)

    known = np.stack([shape(spectrogram(one, bands)) for one in recordings])
    heard = []
    for frames in inputs:
        loud = np.convolve(frames.mean(1), np.ones(3) / 3, "same")
        quiet, peak = np.percentile(loud, [20, 95])
        inside = np.concatenate([[0], loud > quiet + 0.35 * (peak - quiet), [0]])
        starts, ends = np.flatnonzero(np.diff(inside) == 1), np.flatnonzero(np.diff(inside) == -1)
        pieces = [frames[a:b] for a, b in zip(starts, ends, strict=True) if b - a > 5]
        heard.append([int((known @ shape(piece)).argmax()) + 1 for piece in pieces])
    return heard


# The run.


def draw_reading(frames, best, names, said, path):
    """One spectrogram; under it the characters that are read, where they are read."""
    plt = need("matplotlib.pyplot")
    plt.switch_backend("agg")
    figure, axes = plt.subplots(figsize=(9, 3))
    axes.imshow(frames.T, origin="lower", aspect="auto", cmap="magma")
    changed = [at for at in np.flatnonzero(np.diff(best, prepend=0)) if best[at]]
    for at in changed:
        axes.text(2 * at, BANDS - 5, names[best[at] - 1], color="white", fontsize=14)
    told = " ".join(names[label - 1] for label in said)
    axes.set(title=f"said: {told}", xlabel="frame", ylabel="mel band")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare, draw; the character error rates of the network and of the baseline."""
    parser = options("speech", __doc__.splitlines()[0], epochs=24, batch_size=32, lr=3e-3)
    parser.add_argument("--width", type=positive, default=64, help="channels, and units of the GRU")
    parser.add_argument("--mixtures", type=positive, default=2_048, help="new ones in every epoch")
    given = read(parser, arguments, {"epochs": 2, "width": 16, "mixtures": 256})
    if given.mixtures < given.batch_size:
        parser.error(f"--mixtures {given.mixtures}: give a batch at least, {given.batch_size}")
    names, recordings, rate = voices()
    x_test, said_test, lengths_test = mixtures([1], TESTED, recordings, rate)
    net = Net(len(names), given.width)
    optimizer = torch.optim.AdamW(net.parameters(), lr=given.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)
    frames = (x_test.shape[1] + 1) // 2  # after the stride

    @torch.jit
    def step(inputs, said, lengths):
        optimizer.zero_grad()
        scores = net(inputs)
        every = torch.full((inputs.shape[0],), frames, dtype=torch.int64)
        loss = F.ctc_loss(scores, said, every, lengths, zero_infinity=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        return loss

    @torch.jit
    def predict(inputs):
        with torch.no_grad():
            return net(inputs).argmax(-1).transpose(0, 1)

    def best_labels():
        net.eval()
        parts = [predict(torch.from_numpy(x_test[k : k + 100])) for k in range(0, TESTED, 100)]
        return np.concatenate([part.numpy() for part in parts])

    def epoch(number):
        net.train()
        inputs, said, lengths = mixtures([given.seed, number, 2], given.mixtures, recordings, rate)
        losses = []
        for start in range(0, len(inputs) - given.batch_size + 1, given.batch_size):
            rows = slice(start, start + given.batch_size)
            batch = (torch.from_numpy(part[rows]) for part in (inputs, said, lengths))
            losses.append(step(*batch).item())
        schedule.step()
        heard = [greedy(best) for best in best_labels()]
        return {"loss": np.mean(losses), "errors": error_rate(heard, said_test, lengths_test)}

    history = fit(
        epoch,
        given.epochs,
        {"net": net, "optimizer": optimizer, "schedule": schedule},
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    draw_curves(history, ["loss"], given.out / "loss.png", "CTC loss")
    said = said_test[0, : lengths_test[0]]
    draw_reading(x_test[0], best_labels()[0], names, said, given.out / "reading.png")
    baseline = error_rate(by_templates(x_test, recordings, rate), said_test, lengths_test)
    errors = history[-1]["errors"]
    print(f"wrong characters: {errors:.2%}; by templates {baseline:.2%}")
    return {"errors": errors, "baseline": float(baseline)}


if __name__ == "__main__":
    main()
