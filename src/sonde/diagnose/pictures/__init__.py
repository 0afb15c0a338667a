"""Pictures of a run: PNG files that can be read without their colors, and whose bytes can be compared.

Colors are those of Okabe and Ito (2008) and cividis (Nuñez, Anderton and Renslow, 2018), which people with
any color vision tell apart; what a color says, a line style, a marker or a number says too. A picture is
written whole or not at all, holds no clock and no user's matplotlib settings, and no window is ever opened.
"""

from sonde.diagnose.pictures.confusion_matrix import confusion, draw_confusion
from sonde.diagnose.pictures.curves import draw_curves, learning_curves
from sonde.diagnose.pictures.figure import Pictures
from sonde.diagnose.pictures.misclassified import draw_mistakes, mistakes
from sonde.diagnose.pictures.regression import draw_predictions, predictions
from sonde.diagnose.pictures.scatter import scatter_panels

__all__ = [
    "Pictures",
    "confusion",
    "draw_confusion",
    "draw_curves",
    "draw_mistakes",
    "draw_predictions",
    "learning_curves",
    "mistakes",
    "predictions",
    "scatter_panels",
]
