"""What happened inside a run, for people who look."""

from sonde.diagnose.pictures import confusion, learning_curves, mistakes, predictions, scatter_panels
from sonde.diagnose.trace import LayerTrace, Trace, backprop_trace

__all__ = [
    "LayerTrace",
    "Trace",
    "backprop_trace",
    "confusion",
    "learning_curves",
    "mistakes",
    "predictions",
    "scatter_panels",
]
