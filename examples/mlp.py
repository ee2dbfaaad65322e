"""Digits of 8x8 pixels in, a multilayer perceptron that reads them better than a linear model out.

python examples/mlp.py
"""

from __future__ import annotations

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import draw_curves, fit, need, options, positive, read

load_digits = need("sklearn.datasets").load_digits
LogisticRegression = need("sklearn.linear_model").LogisticRegression
train_test_split = need("sklearn.model_selection").train_test_split


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare, draw; the test accuracies of the network and of the baseline."""
    parser = options("mlp", __doc__.splitlines()[0], epochs=40, batch_size=64, lr=1e-3)
    parser.add_argument(
        "--hidden", type=positive, default=256, help="width of the first hidden layer"
    )
    given = read(parser, arguments, {"epochs": 3})
    raw = load_digits()
    x, x_test, y, y_test = train_test_split(
        (raw.data / 8.0 - 1.0).astype(np.float32),
        raw.target.astype(np.int64),
        test_size=0.2,
        stratify=raw.target,
        random_state=0,
    )
    net = nn.Sequential(
        nn.Linear(64, given.hidden),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(given.hidden, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=given.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)

    @torch.jit
    def step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    @torch.jit
    def predict(images):
        with torch.no_grad():
            return net(images).argmax(1)

    loader = DataLoader(TensorDataset(x, y), given.batch_size, shuffle=True)

    def epoch(number):
        net.train()
        losses = [step(images, labels).item() for images, labels in loader]
        schedule.step()
        net.eval()
        right = predict(torch.from_numpy(x_test)).numpy() == y_test
        return {"loss": np.mean(losses), "accuracy": right.mean()}

    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    history = fit(
        epoch,
        given.epochs,
        parts,
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    linear = LogisticRegression(max_iter=5000).fit(x, y).score(x_test, y_test)
    draw_curves(history, ["loss"], given.out / "loss.png", "MLP on digits")
    print(f"test accuracy {history[-1]['accuracy']:.2%}; logistic regression {linear:.2%}")
    return {"accuracy": history[-1]["accuracy"], "baseline": float(linear)}


if __name__ == "__main__":
    main()
