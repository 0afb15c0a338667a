"""Optimizers, what can be put around them, and schedules of their rates."""

from sonde.optim.clip import Clip
from sonde.optim.constraints import (
    Constrained,
    Constraint,
    KeepZeros,
    LinearConstraint,
    MaxNorm,
    NonNegative,
    UnitNorm,
    ZeroSum,
)
from sonde.optim.optimizers import SGD, Adam, Optimizer
from sonde.optim.per_path import PerPath
from sonde.optim.schedules import Cosine, Exponential, Linear, OneCycle, Piecewise, Power, Schedule, WarmUp
from sonde.optim.wrapped import Optax, Wrapped, as_optimizer

__all__ = [
    "SGD",
    "Adam",
    "Clip",
    "Constrained",
    "Constraint",
    "Cosine",
    "Exponential",
    "KeepZeros",
    "Linear",
    "LinearConstraint",
    "MaxNorm",
    "NonNegative",
    "OneCycle",
    "Optax",
    "Optimizer",
    "PerPath",
    "Piecewise",
    "Power",
    "Schedule",
    "UnitNorm",
    "WarmUp",
    "Wrapped",
    "ZeroSum",
    "as_optimizer",
]
