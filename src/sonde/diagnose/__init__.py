"""What happened inside a run, for people who look."""

from sonde.diagnose.pictures import confusion, learning_curves, mistakes, predictions, scatter_panels

__all__ = ["confusion", "learning_curves", "mistakes", "predictions", "scatter_panels"]
