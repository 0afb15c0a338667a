"""Optimizers and schedules of their rates."""

from sonde.optim.optimizers import SGD, Adam, Optimizer
from sonde.optim.schedules import Cosine, Exponential, Linear, OneCycle, Piecewise, Power, Schedule, WarmUp
from sonde.optim.wrapped import Optax, Wrapped, as_optimizer

__all__ = [
    "SGD",
    "Adam",
    "Cosine",
    "Exponential",
    "Linear",
    "OneCycle",
    "Optax",
    "Optimizer",
    "Piecewise",
    "Power",
    "Schedule",
    "WarmUp",
    "Wrapped",
    "as_optimizer",
]
