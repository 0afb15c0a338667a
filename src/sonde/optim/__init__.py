"""Optimizers and schedules of their rates."""

from sonde.optim.optimizers import SGD, Adam, Optimizer
from sonde.optim.schedules import Exponential, Schedule
from sonde.optim.wrapped import Optax, Wrapped, as_optimizer

__all__ = ["SGD", "Adam", "Exponential", "Optax", "Optimizer", "Schedule", "Wrapped", "as_optimizer"]
