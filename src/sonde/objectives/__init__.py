"""Objectives, penalties, elementwise losses and metrics."""

from sonde.objectives.losses import (
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    half_squared_error,
    huber,
    squared_error,
)
from sonde.objectives.objectives import Classify, Objective, Regress, Sum
from sonde.objectives.penalties import L1, L1L2, L2

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "Classify",
    "Objective",
    "Regress",
    "Sum",
    "absolute_error",
    "binary_cross_entropy",
    "cross_entropy",
    "half_squared_error",
    "huber",
    "squared_error",
]
