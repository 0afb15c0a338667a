"""Optimizers, what can be put around them, and schedules of their rates."""

from sonde.optim.adam import LAMB, Adamax, AdamW, Lion, Nadam, RAdam
from sonde.optim.adaptive import AdaDelta, AdaGrad, RMSProp
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
from sonde.optim.curvature import CurvatureLimit
from sonde.optim.dual import FTRL, DualAveraging, ProximalL1
from sonde.optim.lbfgs import LBFGS
from sonde.optim.optimizers import SGD, Adam, Optimizer
from sonde.optim.per_path import PerPath
from sonde.optim.schedules import Cosine, Exponential, Linear, OneCycle, Piecewise, Power, Schedule, WarmUp
from sonde.optim.wrapped import Optax, Wrapped, as_optimizer

__all__ = [
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Clip",
    "Constrained",
    "Constraint",
    "Cosine",
    "CurvatureLimit",
    "DualAveraging",
    "Exponential",
    "FTRL",
    "KeepZeros",
    "LAMB",
    "LBFGS",
    "Linear",
    "LinearConstraint",
    "Lion",
    "MaxNorm",
    "Nadam",
    "NonNegative",
    "OneCycle",
    "Optax",
    "Optimizer",
    "PerPath",
    "Piecewise",
    "Power",
    "ProximalL1",
    "RAdam",
    "RMSProp",
    "SGD",
    "Schedule",
    "UnitNorm",
    "WarmUp",
    "Wrapped",
    "ZeroSum",
    "as_optimizer",
]
