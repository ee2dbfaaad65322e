"""Runs of a step in, the live line and the counts out."""

import io

import engine as torch
from engine.cli.progress import Progress, Tally, line, measures, shared_terminal
from engine.observe import Ran, observers, observing


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@torch.jit(backend="interpreter")
def step(x):
    return x.mean(), (x > 0).sum()


def seen(*arguments: torch.Tensor) -> list[Ran]:
    found: list[Ran] = []
    with observing(found.append):
        for x in arguments:
            step(x)
    return found


def test_observers_see_calls_and_leave() -> None:
    first, second = seen(torch.ones(8, 2), torch.ones(8, 2))
    assert (first.name, first.rows, second.built) == ("step", 8, False)
    assert first.program is second.program
    assert observers == []


def test_loss_and_accuracy_are_found() -> None:
    (ran,) = seen(torch.tensor([1.0, -2.0, 3.0, -4.0]))
    assert measures(ran) == (-0.5, 0.5)


def test_names_are_taken_at_their_word() -> None:
    (ran,) = seen(torch.ones(4))
    named = Ran("s", 0.1, {"accuracy": 0.25, "loss": torch.tensor(2.0)}, 4, ran.program, False)
    assert measures(named) == (2.0, 0.25)


def test_line_is_short() -> None:
    tally = Tally("train", steps=1200, seconds=2.0, timed=1000, loss=0.25, accuracy=0.5)
    assert line(tally) == "train 1200  loss 0.2500  accuracy 50.0%  500 steps/s"


def test_terminal_shows_a_line_and_erases_it_before_prints(monkeypatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    progress = Progress(screen)
    with observing(progress.observe), shared_terminal(progress):
        step(torch.ones(4))
        print("epoch 1")
    text = screen.getvalue()
    assert "step 1  loss 1.0000  accuracy 100.0%" in text
    assert text.index("\x1b[2K", 5) < text.index("epoch 1")


def test_pipes_get_no_line() -> None:
    pipe = io.StringIO()
    progress = Progress(pipe)
    with observing(progress.observe), shared_terminal(progress):
        step(torch.ones(4))
    assert pipe.getvalue() == ""
    assert progress.tallies["step"].steps == 1
