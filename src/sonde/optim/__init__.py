"""Optimizers and schedules of their rates."""

from sonde.optim.optimizers import SGD, Adam, Optimizer
from sonde.optim.schedules import Exponential, Schedule

__all__ = ["SGD", "Adam", "Exponential", "Optimizer", "Schedule"]
