"""What the folder of a run holds, and how it is begun, read and recognized."""

from __future__ import annotations

import math
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError, FormatError, ResumeError
from sonde._store import read_json, write_json
from sonde._value import to_json
from sonde.data import Dataset
from sonde.nn import Network
from sonde.train import Outcome, Plan
from sonde.train.checkpoint import save_variables

FORMAT = 1
"""The layout of a run's folder."""

FILES = {
    "run": "run.json",
    "checkpoint": "checkpoint.safetensors",
    "network": "network.safetensors",
    "report": "report.json",
    "history": "history.json",
    "start": "start.safetensors",
}
"""What is in it, by what it is for."""

OUTCOMES = {outcome.words: outcome for outcome in Outcome}
_ENDS = OUTCOMES.keys() - {Outcome.RUNNING.words, Outcome.INTERRUPTED.words}


def begin(folder: Path, net: Network, plan: Plan, seed: int, data: Dataset, about: dict[str, Any]) -> None:
    """Write what a run is, before anything that takes time."""
    if (folder / FILES["run"]).exists():
        raise ArgumentError(f"there is a run in {folder} already; resume it, or choose another folder")
    for name in ("checkpoint", "network", "report"):
        if (folder / FILES[name]).exists():
            raise ArgumentError(f"{folder} holds the {FILES[name]} of another run; choose another folder")
    description = {
        "format": FORMAT,
        "spec": to_json(net.spec),
        "plan": to_json(plan),
        "seed": seed,
        "fingerprint": data.fingerprint,
        "started": bool(net.params or net.state),
        "about": about,
        "versions": versions(),
    }
    if description["started"]:
        save_variables(folder / FILES["start"], net)
    write_json(folder / FILES["run"], description)


def described(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says.

    Raises:
        ResumeError: there is none, it is damaged, or another version wrote it.
    """
    path = folder / FILES["run"]
    if not path.exists():
        raise ResumeError(f"there is no run in {folder} (no {path.name})")
    try:
        description = read_json(path)
    except FormatError as error:
        raise ResumeError(f"{error}; a run cannot go on without it: start a new one") from None
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise ResumeError(f"the run in {folder} has format {found}; this Sonde goes on with format {FORMAT} only")
    if missing := {"spec", "plan", "seed", "fingerprint"} - description.keys():
        raise ResumeError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}; start a new run")
    return description


def finished(folder: Path) -> bool:
    """Whether the run in a folder has come to its end."""
    path = folder / FILES["report"]
    report = read_json(path) if path.exists() else {}
    return isinstance(report, dict) and report.get("outcome") in _ENDS


def read_history(folder: str | Path) -> list[dict[str, np.ndarray]]:
    """The history of every phase of a saved run; NaN stands for what was not finite."""
    phases = read_json(Path(folder) / FILES["history"])
    filled = lambda values: np.asarray([math.nan if v is None else v for v in values])
    return [{name: filled(values) for name, values in phase.items()} for phase in phases]


def strict(value: Any) -> Any:
    """Plain data as strict JSON can hold it: None for numbers that are not finite."""
    if isinstance(value, dict):
        return {k: strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, str]:
    """What a run depends on."""
    found = {name: metadata.version(name) for name in ("sonde", "jax", "optax", "numpy")}
    return {"python": platform.python_version()} | found


def device_name() -> str:
    """The device that programs run on, in words."""
    (device,) = jnp.zeros(()).devices()
    return device.device_kind
