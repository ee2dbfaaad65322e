"""What training scripts share: a run that stops and resumes, its command line, pictures, sounds.

Nothing in here is needed to train; ``import engine`` does not import it.
"""

from engine.train.fit import Stateful, fit
from engine.train.options import options, positive, read
from engine.train.packages import need
from engine.train.pictures import draw_curves, draw_sheet
from engine.train.recordings import read_recordings, read_wave

__all__ = [
    "Stateful",
    "draw_curves",
    "draw_sheet",
    "fit",
    "need",
    "options",
    "positive",
    "read",
    "read_recordings",
    "read_wave",
]
