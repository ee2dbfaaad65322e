"""Scikit-learn's digits in, a trained LeNet, its loss curve and a sheet of predictions out.

The network is the one of PyTorch's tutorial, word for word; only the imports differ. The whole
training step is one compiled program: forward pass, loss, gradients and the optimizer's update.

    python examples/lenet.py --out lenet_out
"""

from __future__ import annotations

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import draw_curves, draw_sheet, fit, need, options, read

load_digits = need("sklearn.datasets").load_digits
LogisticRegression = need("sklearn.linear_model").LogisticRegression
train_test_split = need("sklearn.model_selection").train_test_split


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x


def enlarge(images, size=32):
    """[n, 8, 8] to [n, 1, size, size], bilinear: one small matrix from either side."""
    old = images.shape[-1]
    at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(old)))
    large = weights @ images @ weights.T
    return large[:, None].astype(np.float32)


class Shifted(TensorDataset):
    """Images and labels; every time an image is asked for, it has moved by up to three pixels."""

    def __init__(self, images, labels):
        super().__init__(images, labels)
        self.padded = np.pad(images[:, 0], ((0, 0), (3, 3), (3, 3)), constant_values=-1.0)
        self.random = np.random.default_rng(0)

    def take(self, indices):
        _, labels = super().take(indices)
        down, right = self.random.integers(0, 7, (2, len(indices), 1))
        rows, columns = down + np.arange(32), right + np.arange(32)
        images = self.padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]
        return torch.from_numpy(images[:, None]), labels


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare, draw; the test accuracies of the network and of the baseline."""
    parser = options("lenet", __doc__.splitlines()[0], epochs=40, batch_size=64, lr=0.03)
    given = read(parser, arguments, {"epochs": 2})
    raw = load_digits()
    x, x_test, y, y_test = train_test_split(
        enlarge(raw.images / 8.0 - 1.0),
        raw.target.astype(np.int64),
        test_size=0.2,
        stratify=raw.target,
        random_state=0,
    )
    training = Shifted(x, y)
    loader = DataLoader(training, given.batch_size, shuffle=True)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=given.lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, given.epochs)

    @torch.jit
    def step(images, labels):
        optimizer.zero_grad()
        outputs = net(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        return loss, (outputs.argmax(1) == labels).sum()

    @torch.jit
    def predict(images):
        with torch.no_grad():
            return net(images).argmax(1)

    def epoch(number):
        training.random = np.random.default_rng((given.seed, number))
        net.train()
        done = [step(images, labels) for images, labels in loader]
        schedule.step()
        net.eval()
        right = predict(torch.from_numpy(x_test)).numpy() == y_test
        return {
            "loss": np.mean([loss.item() for loss, _ in done]),
            "training": sum(hits.item() for _, hits in done) / len(training),
            "accuracy": right.mean(),
        }

    history = fit(
        epoch,
        given.epochs,
        {"net": net, "optimizer": optimizer, "schedule": schedule},
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    net.eval()
    said = predict(torch.from_numpy(x_test)).numpy()
    shown = np.argsort(said == y_test, kind="stable")[:40]
    draw_curves(history, ["loss"], given.out / "loss.png", "LeNet on digits")
    draw_sheet(
        x_test[shown, 0],
        given.out / "predictions.png",
        f"{(said != y_test).sum()} of {len(y_test)} test digits are read wrongly",
        [
            f"{a}, is {b}" if a != b else str(a)
            for a, b in zip(said[shown], y_test[shown], strict=True)
        ],
        list(said[shown] != y_test[shown]),
    )
    torch.save(net.state_dict(), given.out / "lenet.safetensors")
    linear = LogisticRegression(max_iter=500).fit(x.reshape(len(x), -1), y)
    baseline = float(linear.score(x_test.reshape(len(x_test), -1), y_test))
    print(f"loss.png, predictions.png and lenet.safetensors are in {given.out}/")
    print(f"test accuracy {history[-1]['accuracy']:.2%}; logistic regression {baseline:.2%}")
    return {"accuracy": history[-1]["accuracy"], "baseline": baseline}


if __name__ == "__main__":
    main()
