"""Mutants of a yeast DNA sequence in, whether each still starts replication out.

ARS1 is a place where yeast begins to copy a chromosome. `logomaker` ships what an experiment read:
600,000 mutants of its 150 letters, how often each was in the library, and how often in cells that
had to replicate it. A convolutional network learns which mutants work, against a position-weight
matrix of the same sequences; what it learned is drawn as a logo.

    python examples/genomics.py
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import draw_curves, fit, need, options, positive, read

roc_auc_score = need("sklearn.metrics").roc_auc_score

LETTERS = np.frombuffer(b"ACGT", np.uint8)
TESTED = 20_000  # sequences that no model is trained on
WINDOW = 40  # letters shown in the logo


@functools.cache
def mutants(count):
    """Letters [n, 150] as numbers 0 to 3 and labels [n]: half of them replicate.

    A mutant replicates if it was read at least four times in the cells, and does not if the
    library holds it and no cell does. At most ``count``, drawn by a fixed seed.
    """
    path = Path(need("logomaker").__file__).parent / "examples/datafiles/ars_sequences.txt.gz"
    table = need("pandas").read_csv(path, sep="\t", comment="#")
    library, selected = (table.iloc[:, column].to_numpy() for column in (0, 1))
    rng = np.random.default_rng(0)
    works = rng.permutation(np.flatnonzero(selected >= 4))
    fails = rng.permutation(np.flatnonzero((library >= 2) & (selected == 0)))
    half = min(len(works), len(fails), count // 2)
    chosen = rng.permutation(np.concatenate([works[:half], fails[:half]]))
    spelt = np.frombuffer("".join(table.iloc[chosen, 2]).encode(), np.uint8)
    letters = np.searchsorted(LETTERS, spelt.reshape(len(chosen), -1)).astype(np.int64)
    return letters, (selected[chosen] > 0).astype(np.float32)


class Net(nn.Module):
    """Short motifs by convolutions, where they lie by a linear layer, and each letter by itself."""

    def __init__(self, length, width):
        super().__init__()
        self.motifs = nn.Sequential(
            nn.Conv1d(4, width, 9, padding=4),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(width * (length // 2), 2 * width),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(2 * width, 1),
        )
        self.letters = nn.Linear(4 * length, 1)

    def forward(self, x):
        return (self.motifs(x) + self.letters(x.flatten(1)))[:, 0]


def one_hot(letters):
    """Letters [n, length] as float32 [n, 4, length]."""
    return F.one_hot(letters, 4).transpose(1, 2).float()


def weight_matrix(letters, labels):
    """The log-odds of each letter at each place [length, 4], with one pseudocount."""
    counts = [
        np.stack([(letters[labels == label] == k).sum(0) for k in range(4)], 1) + 1
        for label in (1, 0)
    ]
    works, fails = (count / count.sum(1, keepdims=True) for count in counts)
    return np.log(works / fails)


def draw_logo(effects, first, path):
    """Effects of letters [length, 4] as a logo whose first place is number ``first``."""
    logomaker, pandas = need("logomaker"), need("pandas")
    plt = need("matplotlib.pyplot")
    plt.switch_backend("agg")
    figure, axes = plt.subplots(figsize=(10, 2.5))
    places = range(first, first + len(effects))
    logomaker.Logo(pandas.DataFrame(effects, index=list(places), columns=list("ACGT")), ax=axes)
    axes.set(title="What a letter adds to the score, on average", xlabel="place in ARS1")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare, draw; the areas under the ROC curve of the network and of the matrix."""
    parser = options("genomics", __doc__.splitlines()[0], epochs=8, batch_size=256, lr=2e-3)
    parser.add_argument("--width", type=positive, default=32, help="motifs of each convolution")
    parser.add_argument(
        "--sequences", type=positive, default=120_000, help="at most, tested ones too"
    )
    given = read(parser, arguments, {"epochs": 2, "width": 4, "sequences": 6_000})
    if given.sequences < 3 * given.batch_size:
        parser.error(f"--sequences {given.sequences}: give three batches, {3 * given.batch_size}")
    letters, labels = mutants(given.sequences)
    tested = min(TESTED, len(letters) // 3)
    x, x_test, y, y_test = letters[tested:], letters[:tested], labels[tested:], labels[:tested]
    net = Net(letters.shape[1], given.width)
    optimizer = torch.optim.AdamW(net.parameters(), lr=given.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)

    @torch.jit
    def step(letters, labels):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(net(one_hot(letters)), labels)
        loss.backward()
        optimizer.step()
        return loss

    @torch.jit
    def predict(letters):
        with torch.no_grad():
            return net(one_hot(letters))

    @torch.jit
    def slopes(letters):
        inputs = one_hot(letters).requires_grad_()
        return torch.autograd.grad(net(inputs).sum(), inputs)[0]

    def area():
        net.eval()
        parts = np.array_split(x_test, max(1, len(x_test) // 2_000))
        scores = [predict(torch.from_numpy(part)).numpy() for part in parts]
        return roc_auc_score(y_test, np.concatenate(scores))

    loader = DataLoader(TensorDataset(x, y), given.batch_size, shuffle=True, drop_last=True)

    def epoch(number):
        net.train()
        losses = [step(letters, labels).item() for letters, labels in loader]
        schedule.step()
        return {"loss": np.mean(losses), "area": area()}

    print(f"{len(x):,} mutants to train on, {len(x_test):,} to test")
    history = fit(
        epoch,
        given.epochs,
        {"net": net, "optimizer": optimizer, "schedule": schedule},
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    net.eval()
    some = x_test[y_test == 1][:2_000]
    effects = slopes(torch.from_numpy(some)).numpy().mean(0).T  # [length, 4]
    effects = effects - effects.mean(1, keepdims=True)
    strength = np.convolve(np.abs(effects).sum(1), np.ones(WINDOW), "valid")
    first = int(strength.argmax())
    draw_logo(effects[first : first + WINDOW], first, given.out / "logo.png")
    draw_curves(history, ["area"], given.out / "area.png", "Area under the ROC curve", log=False)
    matrix = weight_matrix(x, y)
    scores = np.take_along_axis(matrix[None], x_test[:, :, None], 2)[:, :, 0].sum(1)
    baseline = float(roc_auc_score(y_test, scores))
    print(f"area under ROC {history[-1]['area']:.4f}; position-weight matrix {baseline:.4f}")
    return {"area": history[-1]["area"], "baseline": baseline}


if __name__ == "__main__":
    main()
