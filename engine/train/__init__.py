"""What training scripts share: a run that stops and resumes, its command line, its pictures.

Nothing in here is needed to train; ``import engine`` does not import it.
"""

from engine.train.fit import Stateful, fit
from engine.train.options import options, read
from engine.train.pictures import draw_curves, draw_sheet

__all__ = ["Stateful", "draw_curves", "draw_sheet", "fit", "options", "read"]
