"""What happened inside a run, for people who look."""

from sonde.diagnose.anomaly import Alarm, reconstruction_errors, set_alarm
from sonde.diagnose.bounds import Bounds, bounds
from sonde.diagnose.panels import image_panels, line_panels, tiled
from sonde.diagnose.pictures import confusion, learning_curves, mistakes, predictions, scatter_panels
from sonde.diagnose.rate_finder import RateTest, find_rate
from sonde.diagnose.sheet import draw_augmented
from sonde.diagnose.trace import LayerTrace, Trace, backprop_trace

__all__ = [
    "Alarm",
    "Bounds",
    "LayerTrace",
    "RateTest",
    "Trace",
    "backprop_trace",
    "bounds",
    "confusion",
    "draw_augmented",
    "find_rate",
    "image_panels",
    "learning_curves",
    "line_panels",
    "mistakes",
    "predictions",
    "reconstruction_errors",
    "scatter_panels",
    "set_alarm",
    "tiled",
]
