"""Training: plans as values, and the engine that runs any of them."""

from sonde.train.average import EMA, SWA, Average
from sonde.train.control import (
    Controller,
    KeepBest,
    Outcome,
    Patience,
    Plateau,
    Report,
    Signal,
    Target,
    TimeBudget,
    as_controllers,
)
from sonde.train.execute import Dispatch, Observer, compilation_cache, execute
from sonde.train.lanes import execute_many
from sonde.train.parallel import every_core
from sonde.train.plan import Phase, Plan, Turn
from sonde.train.probe import Curvature, DeadUnits, GradientNorm, Probe, Probed, UpdateRatio
from sonde.train.record import Record, advice

__all__ = [
    "EMA",
    "SWA",
    "Average",
    "Controller",
    "Curvature",
    "DeadUnits",
    "Dispatch",
    "GradientNorm",
    "KeepBest",
    "Observer",
    "Outcome",
    "Patience",
    "Phase",
    "Plan",
    "Plateau",
    "Probe",
    "Probed",
    "Record",
    "Report",
    "Signal",
    "Target",
    "TimeBudget",
    "Turn",
    "UpdateRatio",
    "advice",
    "as_controllers",
    "compilation_cache",
    "every_core",
    "execute",
    "execute_many",
]
