"""The prose of Python's standard library in, a transformer that writes more of it out.

The docstrings of the library's modules are cut into training and test parts; the figure is bits
per character of the test part, held against n-grams with Witten-Bell smoothing. Text is sampled
one character at a time with a cache of keys and values.

    python examples/language.py
"""

from __future__ import annotations

import ast
import functools
import math
import sysconfig
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.train import draw_curves, fit, options, positive, read

LETTERS = "\n" + "".join(map(chr, range(32, 127)))
EPOCH = 200  # steps


# The text.


@functools.cache
def docstrings():
    """All docstrings of the standard library's modules that are longer than a line, each once."""
    texts = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text("utf-8", errors="ignore"))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        nodes = (node for node in ast.walk(tree) if isinstance(node, kinds))
        texts += [text for node in nodes if (text := ast.get_docstring(node)) and len(text) > 40]
    return list(dict.fromkeys(texts))


def prose(size, seed=0):
    """About ``size`` characters of docstrings as numbers: [training, test], none in both."""
    texts = list(docstrings())
    number = {letter: at for at, letter in enumerate(LETTERS)}
    np.random.default_rng(seed).shuffle(texts)
    parts: list[list[int]] = [[], []]
    for text in texts:
        part = parts[hash_of(text) % 10 == 0]
        part += [number[letter] for letter in text if letter in number] + [0, 0]
        if sum(map(len, parts)) > size:
            break
    return [np.array(part, np.int64) for part in parts]


def hash_of(text):
    """A number that is the same in every process."""
    return sum((at + 1) * ord(letter) for at, letter in enumerate(text))


# The network.


class Attention(nn.Module):
    """Causal self-attention; with a cache, of one new place over all places before it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, cache=None, place=None):
        n, t, width = x.shape
        split = self.qkv(x).reshape(n, t, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        if cache is None:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            places = torch.arange(cache[0].shape[2])
            here = (places == place)[:, None]
            k, v = torch.where(here, k, cache[0]), torch.where(here, v, cache[1])
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=(places <= place)[None])
        out = self.out(out.permute(0, 2, 1, 3).reshape(n, t, width))
        return out if cache is None else (out, (k, v))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1)
        )

    def forward(self, x, cache=None, place=None):
        out = self.attention(self.norm1(x), cache, place)
        out, cache = (out, None) if cache is None else out
        x = x + out
        x = x + self.mlp(self.norm2(x))
        return x if cache is None else (x, cache)


class Language(nn.Module):
    """Characters [n, t] to scores of the next one [n, t, letters]."""

    def __init__(self, width, heads, layers, context):
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), width)
        self.places = nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, len(LETTERS))

    def forward(self, x):
        x = self.letters(x) + self.places[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def next(self, letter, place, caches):
        """Scores [letters] after ``letter`` [1, 1] at ``place``, and the caches that know it."""
        x = self.letters(letter) + self.places[place]
        known = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block(x, cache, place)
            known.append(cache)
        return self.head(self.norm(x))[0, 0], known


# The baseline.


def n_gram_bits(train, test, longest):
    """Bits per character of n-grams up to ``longest``, the best of them; Witten-Bell smoothing."""
    counts = [defaultdict(dict) for _ in range(longest)]
    text, unseen = bytes(train.tolist()), bytes(test.tolist())
    for at, letter in enumerate(text):
        for order in range(min(longest, at + 1)):
            seen = counts[order][text[at - order : at]]
            seen[letter] = seen.get(letter, 0) + 1
    totals = [{key: sum(seen.values()) for key, seen in known.items()} for known in counts]
    bits = np.zeros(longest)
    for at, letter in enumerate(unseen):
        chance = 1 / len(LETTERS)
        for order in range(longest):
            context = unseen[at - order : at] if at >= order else None
            if context in totals[order]:
                seen, total = counts[order][context], totals[order][context]
                chance = (seen.get(letter, 0) + len(seen) * chance) / (total + len(seen))
            bits[order] -= math.log2(chance)
    return float(bits.min() / len(unseen)), int(bits.argmin()) + 1


# The run.


def write(net, start, length, context, heads, seed, temperature=0.8):
    """``start`` and ``length`` characters more, through the cache; it begins anew when full."""
    follow = torch.jit(net.next)
    width = net.norm.weight.shape[0]
    random, text = np.random.default_rng(seed), start
    with torch.no_grad():
        place, pending = context, list(start)
        while len(text) < len(start) + length:
            if place == context:
                empty = torch.zeros(1, heads, context, width // heads)
                caches = [(empty, empty) for _ in net.blocks]
                pending, place = list(text[-context // 2 :]), 0
            for letter in pending:
                number = torch.tensor([[LETTERS.index(letter)]])
                scores, caches = follow(number, torch.tensor(place), caches)
                place += 1
            chances = torch.softmax(scores / temperature, 0).numpy().astype(np.float64)
            pending = [LETTERS[random.choice(len(LETTERS), p=chances / chances.sum())]]
            text += pending[0]
    return text


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare, write; bits per character of the network and of the n-grams."""
    parser = options("language", __doc__.splitlines()[0], epochs=20, batch_size=16, lr=2e-3)
    for name, default in {"width": 128, "heads": 4, "layers": 3, "context": 128}.items():
        parser.add_argument(f"--{name}", type=positive, default=default)
    parser.add_argument("--characters", type=positive, default=1_200_000, help="of prose")
    small = {"width": 32, "heads": 2, "layers": 1, "context": 32, "characters": 40_000}
    given = read(parser, arguments, {"epochs": 2, **small})
    if given.width % given.heads:
        parser.error(f"--heads {given.heads}: they share --width {given.width} and must divide it")
    train, test = prose(given.characters)
    if len(test) <= given.batch_size * given.context:
        parser.error(f"--characters {given.characters}: give more, the test part has {len(test)}")
    net = Language(given.width, given.heads, given.layers, given.context)
    optimizer = torch.optim.AdamW(net.parameters(), given.lr, (0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, given.lr, total_steps=given.epochs * EPOCH, pct_start=0.1
    )
    window = np.arange(given.context + 1)

    @torch.jit
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x).flatten(0, 1), y.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    @torch.jit
    def judge(x, y):
        with torch.no_grad():
            return F.cross_entropy(net(x).flatten(0, 1), y.flatten())

    def batch(text, starts):
        rows = text[starts[:, None] + window]
        return torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])

    def bits():
        net.eval()
        count = (len(test) - 1) // given.context // given.batch_size * given.batch_size
        starts = (np.arange(count) * given.context).reshape(-1, given.batch_size)
        found = [judge(*batch(test, part)).item() for part in starts]
        net.train()
        return np.mean(found) / math.log(2)

    def epoch(number):
        losses = []
        for _ in range(EPOCH):
            starts = torch.randint(0, len(train) - len(window), (given.batch_size,)).numpy()
            losses.append(step(*batch(train, starts)).item())
            schedule.step()
        return {"loss": np.mean(losses), "bits": bits()}

    print(f"{len(train):,} characters, {sum(p.numel() for p in net.parameters()):,} parameters")
    history = fit(
        epoch,
        given.epochs,
        {"net": net, "optimizer": optimizer, "schedule": schedule},
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    baseline, order = n_gram_bits(train, test, 4 if given.quick else 7)
    net.eval()
    text = write(net, "Return the ", 40 if given.quick else 600, given.context, given.heads, 0)
    (given.out / "sample.txt").write_text(text, "utf-8")
    draw_curves(history, ["bits"], given.out / "bits.png", "Bits per character", log=False)
    print(text)
    print(f"{history[-1]['bits']:.3f} bits per character; {order}-grams {baseline:.3f}")
    return {"bits": history[-1]["bits"], "baseline": baseline}


if __name__ == "__main__":
    main()
