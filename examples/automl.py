"""A space of small networks in, the one that Optuna finds in it out.

Depth, width, activation, dropout, learning rate and weight decay are searched; trials that fall
behind end early. The study lies in a database, so that it can be stopped and resumed. Trials whose
networks have equal shapes run the same compiled kernels: numbers such as the learning rate are
inputs of a step, not constants in it.

    python examples/automl.py
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import need, options, positive, read

load_digits = need("sklearn.datasets").load_digits
train_test_split = need("sklearn.model_selection").train_test_split

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
DEFAULT = {"depth": 1, "width": 64, "activation": "relu", "dropout": 0.0, "lr": 1e-3, "decay": 1e-4}


def splits():
    """Training, validation and test images [n, 64] with their labels."""
    raw = load_digits()
    x, y = (raw.data / 8.0 - 1.0).astype(np.float32), raw.target.astype(np.int64)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    return (x, y), (x_val, y_val), (x_test, y_test)


def network(chosen):
    layers, before = [], 64
    for _ in range(chosen["depth"]):
        layers += [nn.Linear(before, chosen["width"]), ACTIVATIONS[chosen["activation"]]()]
        layers += [nn.Dropout(chosen["dropout"])] if chosen["dropout"] else []
        before = chosen["width"]
    return nn.Sequential(*layers, nn.Linear(before, 10))


class Training:
    """One network on its way: ``epoch()`` trains, ``accuracy(x, y)`` says how well it reads."""

    def __init__(self, chosen: dict[str, Any], data: Any, seed: int, batch_size: int) -> None:
        torch.manual_seed(seed)
        self.net = network(chosen)
        optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=chosen["lr"], weight_decay=chosen["decay"]
        )
        self.loader = DataLoader(TensorDataset(*data), batch_size, shuffle=True, drop_last=True)

        @torch.jit
        def step(images, labels):
            optimizer.zero_grad()
            loss = F.cross_entropy(self.net(images), labels)
            loss.backward()
            optimizer.step()
            return loss

        @torch.jit
        def predict(images):
            with torch.no_grad():
                return self.net(images).argmax(1)

        self.step, self.predict = step, predict

    def epoch(self) -> float:
        self.net.train()
        return float(np.mean([self.step(x, y).item() for x, y in self.loader]))

    def accuracy(self, x: Any, y: Any) -> float:
        self.net.eval()
        return float((self.predict(torch.from_numpy(x)).numpy() == y).mean())

    def programs(self) -> tuple[int, int]:
        """How many programs were compiled for this network, and how many were there already."""
        reports = [
            entry.bound.program.report for f in (self.step, self.predict) for entry in f.programs
        ]
        known = sum(report.cache_hit for report in reports)
        return len(reports) - known, known


def choose(trial: Any) -> dict[str, Any]:
    """What Optuna proposes for one trial."""
    return {
        "depth": trial.suggest_int("depth", 1, 3),
        "width": trial.suggest_categorical("width", [32, 64, 128, 256]),
        "activation": trial.suggest_categorical("activation", list(ACTIVATIONS)),
        "dropout": trial.suggest_categorical("dropout", [0.0, 0.25, 0.5]),
        "lr": trial.suggest_float("lr", 3e-4, 3e-2, log=True),
        "decay": trial.suggest_float("decay", 1e-5, 1e-1, log=True),
    }


def search(given: argparse.Namespace, training: Any, validation: Any) -> Any:
    """The study after ``given.trials`` trials, the first of them the default network."""
    optuna = need("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.resume:
        given.checkpoint.unlink(missing_ok=True)
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{given.checkpoint}",
            study_name="automl",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
        )
    except need("sqlalchemy").exc.DatabaseError:
        raise SystemExit(f"{given.checkpoint}: not a study; search without --resume") from None
    settings = {"epochs": given.epochs, "batch size": given.batch_size, "seed": given.seed}
    before = study.user_attrs.get("settings", settings)
    if before != settings:
        raise SystemExit(
            f"{given.checkpoint}: its trials were made with {before}, and this run has {settings}; "
            "give the options that it was made with, or search without --resume"
        )
    study.set_user_attr("settings", settings)
    if not study.trials:
        study.enqueue_trial(DEFAULT | {"lr": given.lr})

    def objective(trial):
        run = Training(choose(trial), training, given.seed, given.batch_size)
        for number in range(given.epochs):
            run.epoch()
            trial.report(run.accuracy(*validation), number)
            if trial.should_prune():
                break
        for name, count in zip(("compiled", "known"), run.programs(), strict=True):
            trial.set_user_attr(name, count)
        if trial.should_prune():
            raise optuna.TrialPruned
        return run.accuracy(*validation)

    last = given.trials if given.stop_after is None else min(given.trials, given.stop_after)
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    while (number := len(study.get_trials(deepcopy=False, states=ended))) < last:
        # a sampler of the trial's own: a resumed search proposes what a whole one does
        study.sampler = optuna.samplers.TPESampler(seed=given.seed * 100_003 + number)
        study.optimize(objective, n_trials=1)
        trial = study.trials[-1]
        state = "pruned" if trial.state == ended[1] else f"{trial.value:.2%}"
        print(f"{number + 1:3} {state:>7}  {trial.params}")
    return study


def draw_trials(study: Any, path: Any) -> None:
    """Every trial's validation accuracy by epoch; the best one and the default in colour."""
    plt = need("matplotlib.pyplot")
    plt.switch_backend("agg")
    figure, axes = plt.subplots(figsize=(7, 4))
    for trial in study.trials:
        values = trial.intermediate_values
        axes.plot([at + 1 for at in values], list(values.values()), color="0.8", linewidth=1)
    shown = (("the default", study.trials[0]), ("the best", study.best_trial))
    for name, trial in shown:
        values = trial.intermediate_values
        axes.plot([at + 1 for at in values], list(values.values()), label=name, linewidth=2)
    axes.set(xlabel="epoch", ylabel="accuracy (validation)", title="Trials", ylim=(0.8, 1.0))
    axes.legend()
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def tested(chosen: dict[str, Any], given: argparse.Namespace, data: Any, test: Any) -> float:
    """The mean test accuracy of three networks trained on ``data``, validation images included."""
    found = []
    for seed in range(3):
        run = Training(chosen, data, seed, given.batch_size)
        for _ in range(given.epochs):
            run.epoch()
        found.append(run.accuracy(*test))
    return float(np.mean(found))


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Search, draw, compare; test accuracies of the best network and of the default one."""
    parser = options("automl", __doc__.splitlines()[0], epochs=12, batch_size=64, lr=1e-3)
    told = "networks to try; --lr is that of the first one, --stop-after counts them"
    parser.add_argument("--trials", type=positive, default=50, help=told)
    given = read(parser, arguments, {"epochs": 3, "trials": 3}, checkpoint="study.db")
    training, validation, test = splits()
    study = search(given, training, validation)
    compiled, known = (
        sum(trial.user_attrs.get(name, 0) for trial in study.trials)
        for name in ("compiled", "known")
    )
    print(f"{compiled} programs were compiled, {known} were there from an equal network")
    draw_trials(study, given.out / "trials.png")
    both = [np.concatenate(parts) for parts in zip(training, validation, strict=True)]
    best = tested(study.best_params, given, both, test)
    baseline = tested(study.trials[0].params, given, both, test)
    print(f"test accuracy {best:.2%} with {study.best_params}; the default {baseline:.2%}")
    return {"accuracy": best, "baseline": baseline, "compiled": compiled, "known": known}


if __name__ == "__main__":
    main()
