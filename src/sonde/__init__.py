"""Sonde trains deep networks fast on the machine people have, and tells them what happened inside."""

import gc as _gc
import importlib as _importlib
import typing as _typing

_collecting = _gc.isenabled()
_gc.disable()  # what is imported stays: to look for rubbish in it, and in all of JAX, is half the time of importing

from sonde import data, nn, objectives, optim, train
from sonde._batch import Batch, Mean, Padded
from sonde._errors import SondeError
from sonde._types import Clock, Number, Part
from sonde._value import Value, from_json, named, to_json
from sonde.artifact import Artifact, load
from sonde.bagging import Bag, bag
from sonde.fitting import fit, resume
from sonde.objectives import L1, L1L2, L2, Classify, Objective, Regress
from sonde.optim import SGD, Adam, AdamW, Exponential, RMSProp
from sonde.run import Run
from sonde.train import (
    EMA,
    SWA,
    Controller,
    Curvature,
    DeadUnits,
    GradientNorm,
    KeepBest,
    Outcome,
    Patience,
    Phase,
    Plan,
    Plateau,
    Probe,
    Signal,
    Target,
    TimeBudget,
    Turn,
    UpdateRatio,
)

if _collecting:
    _gc.enable()

if _typing.TYPE_CHECKING:
    from sonde import diagnose, sparse

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "SWA",
    "Adam",
    "AdamW",
    "Artifact",
    "Bag",
    "Batch",
    "Classify",
    "Clock",
    "Controller",
    "Curvature",
    "DeadUnits",
    "Exponential",
    "GradientNorm",
    "KeepBest",
    "Mean",
    "Number",
    "Objective",
    "Outcome",
    "Padded",
    "Part",
    "Patience",
    "Phase",
    "Plan",
    "Plateau",
    "Probe",
    "RMSProp",
    "Regress",
    "Run",
    "Signal",
    "SondeError",
    "Target",
    "TimeBudget",
    "Turn",
    "UpdateRatio",
    "Value",
    "bag",
    "data",
    "diagnose",
    "fit",
    "from_json",
    "load",
    "named",
    "nn",
    "objectives",
    "optim",
    "resume",
    "sparse",
    "to_json",
    "train",
]


def __getattr__(name: str) -> _typing.Any:
    """What one does with a result is imported when it is used."""
    if name in ("diagnose", "sparse"):
        return _importlib.import_module(f"sonde.{name}")
    raise AttributeError(f"module 'sonde' has no attribute {name!r}")
