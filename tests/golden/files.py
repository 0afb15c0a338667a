"""The files of golden values: written by the peers, read by the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

HERE = Path(__file__).parent
PEERS = ("torch", "keras")


def write(peer: str, versions: dict[str, str], answer: Callable[[Any, dict], dict[str, np.ndarray] | None]) -> None:
    """Ask a peer about every case, and write the file; what it does not have is left out."""
    from .cases import CASES, drawn

    arrays, told = {}, []
    for case in CASES:
        given = drawn(case)
        found = answer(case, given)
        if found is None:
            told.append(case.name)
            continue
        arrays |= {f"{case.name}/{name}": value for name, value in (given | found).items()}
    made_by = {"made by": f"python -m tests.golden.{peer}_values", "without": ", ".join(told)}
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    path = HERE / f"{peer}.safetensors"
    save_file(arrays, path, metadata={"versions": json.dumps(versions)} | made_by)
    print(f"{path.name}: {len(CASES) - len(told)} of {len(CASES)} cases, {path.stat().st_size:,} bytes, {versions}")
    print("without:", ", ".join(told))


def read(peer: str) -> tuple[dict[str, str], dict[str, dict[str, np.ndarray]]]:
    """The versions that a file was made with, and its arrays by case and name."""
    cases: dict[str, dict[str, np.ndarray]] = {}
    with safe_open(HERE / f"{peer}.safetensors", framework="numpy") as file:
        versions = json.loads(file.metadata()["versions"])
        for key in file.keys():  # noqa: SIM118
            case, name = key.split("/", 1)
            cases.setdefault(case, {})[name] = file.get_tensor(key)
    return versions, cases
