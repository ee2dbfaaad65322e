"""Noise in, handwritten digits out: a generator and a discriminator trained against each other.

Both networks and both optimizers are one compiled step. A classifier that was trained on the real
digits judges the samples: its score (exp of the mean divergence of its answers from their average:
1 where all look the same or none is clear, 10 where each is a clear digit and all are as frequent)
is held against that of a Gaussian with the real digits' mean and covariance.

    python examples/gan.py
"""

from __future__ import annotations

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import draw_curves, draw_sheet, fit, need, options, positive, read

load_digits = need("sklearn.datasets").load_digits
SVC = need("sklearn.svm").SVC

NOISE = 32


class Generator(nn.Module):
    """[n, 32] to images [n, 1, 8, 8] from -1 to 1."""

    def __init__(self, width):
        super().__init__()
        self.start = nn.Linear(NOISE, 4 * width * 4)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise):
        first = self.start(noise)
        return self.layers(first.reshape(first.shape[0], -1, 2, 2))


def discriminator(width):
    """Images [n, 1, 8, 8] to logits [n, 1]: real or made."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Dropout2d(0.2),
        nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(4 * width * 4, 1),
    )


def energy_distance(a, b):
    """Székely's distance between two sets of points [n, d]: 0 for equal distributions."""

    def mean(x, y):
        square = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
        return np.sqrt(np.maximum(square, 0)).mean()

    return 2 * mean(a, b) - mean(a, a) - mean(b, b)


def score(judge, images):
    """The classifier's score of images [n, 64], and how many of the ten digits are among them."""
    answers = np.exp(4 * judge.decision_function(images))
    answers /= answers.sum(1, keepdims=True)
    average = answers.mean(0)
    divergence = (answers * np.log(answers / average + 1e-12)).sum(1).mean()
    counts = np.bincount(answers.argmax(1), minlength=10)
    return float(np.exp(divergence)), int((counts >= len(images) / 100).sum())


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, judge, draw; the scores of the samples, of the Gaussian and of real digits."""
    parser = options("gan", __doc__.splitlines()[0], epochs=300, batch_size=64, lr=5e-4)
    parser.add_argument("--width", type=positive, default=24, help="channels next to the image")
    given = read(parser, arguments, {"epochs": 6, "width": 8})
    raw = load_digits()
    real = (raw.data / 8.0 - 1.0).astype(np.float32)
    maker, critic = Generator(given.width), discriminator(given.width)
    for_maker = torch.optim.Adam(maker.parameters(), lr=given.lr, betas=(0.5, 0.99))
    for_critic = torch.optim.Adam(critic.parameters(), lr=given.lr, betas=(0.5, 0.99))
    average = torch.optim.swa_utils.AveragedModel(
        maker,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995),
        use_buffers=True,
    )

    @torch.jit
    def step(images):
        made = maker(torch.randn(images.shape[0], NOISE))
        for_critic.zero_grad()
        true, false = critic(images), critic(made.detach())
        critic_loss = F.softplus(-true).mean() + F.softplus(false).mean()
        critic_loss.backward()
        for_critic.step()
        for_maker.zero_grad()
        maker_loss = F.softplus(-critic(made)).mean()
        maker_loss.backward()
        for_maker.step()
        average.update_parameters(maker)
        return critic_loss, maker_loss

    @torch.jit
    def sample(noise):
        with torch.no_grad():
            return average(noise)

    loader = DataLoader(
        TensorDataset(real.reshape(-1, 1, 8, 8)), given.batch_size, shuffle=True, drop_last=True
    )
    fixed = np.random.default_rng(0).standard_normal((1000, NOISE)).astype(np.float32)

    def samples():
        average.eval()
        return sample(torch.from_numpy(fixed)).numpy().reshape(-1, 64)

    def epoch(number):
        maker.train()
        losses = [[loss.item() for loss in step(images)] for (images,) in loader]
        first, second = np.mean(losses, 0)
        return {
            "critic": first,
            "generator": second,
            "distance": energy_distance(samples(), real),
        }

    parts = {
        "generator": maker,
        "average": average,
        "discriminator": critic,
        "for_generator": for_maker,
        "for_discriminator": for_critic,
    }
    history = fit(
        epoch,
        given.epochs,
        parts,
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    judge = SVC(gamma=0.06).fit(real, raw.target)
    drawn = np.random.default_rng(0).multivariate_normal(real.mean(0), np.cov(real.T), 1000)
    sets = {"samples": samples(), "gaussian": np.clip(drawn, -1, 1), "real": real[:1000]}
    found: dict[str, float] = {}
    for name, images in sets.items():
        value, digits = score(judge, images)
        found |= {name: value, f"{name} digits": digits}
        print(f"{name:10} score {value:5.2f}, {digits} of 10 digits")
    draw_curves(history, ["distance"], given.out / "distance.png", "Energy distance to the digits")
    sheet = sets["samples"][:60].reshape(-1, 8, 8)
    draw_sheet(sheet, given.out / "samples.png", "Digits that nobody wrote", columns=15)
    return found


if __name__ == "__main__":
    main()
