"""How long a prediction takes, of one row and of 10,000: ``python -m benchmarks.predict``.

784-300-50-10 with the same weights on all sides, from rows in NumPy to the class of each in NumPy, as a user calls
it: an `Artifact` in Sonde (which checks what comes in, and gives labels), a module in PyTorch, `MLPClassifier` in
scikit-learn.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers import Process
from benchmarks.questions import row
from benchmarks.turns import Run, in_turns

SIZES, WAYS = (784, 300, 50, 10), ("eager", "compile", "sklearn")
ROWS = {1: 200, 10_000: 5}
"""How often it is repeated within a run, by the rows."""


def timed(predict: Callable, x: np.ndarray, times: int) -> dict:
    """Seconds of one prediction, the mean of several, and what it says."""
    began = time.perf_counter()
    for _ in range(times):
        said = predict(x)
    return {"seconds": (time.perf_counter() - began) / times, "said": said}


def saved(made: dict):
    """The artifact of the network with these kernels."""
    import sonde as sd
    from sonde import nn

    net = nn.Sequential(a=nn.Dense(SIZES[1], nn.relu), b=nn.Dense(SIZES[2], nn.relu), c=nn.Dense(SIZES[3]))
    params = {f"{name}/kernel": made[f"kernel_{i}"] for i, name in enumerate("abc")}
    params |= {f"{name}/bias": np.zeros(SIZES[i + 1], np.float32) for i, name in enumerate("abc")}
    data = sd.data.Dataset(train={"x": made["x"][:100], "y": np.arange(100, dtype=np.int32) % 10})
    return sd.fit(nn.Network(net, params), data, sd.Classify(), sd.SGD(1e-12), steps=1, progress=False).artifact


def compared(x: np.ndarray, times: int, artifact, processes: dict[str, Process], rounds: int) -> dict:
    """The row of so many rows; a side that says another class of more than one in a thousand is not the same."""
    sides: dict[str, Run] = {
        "sonde": lambda r: timed(artifact.predict, x, times),
        "sonde, the network alone": lambda r: timed(lambda x: np.asarray(artifact.network(x)).argmax(1), x, times),
    }
    for name, process in processes.items():
        sides[name] = lambda r, process=process: process.ask(rows=len(x), times=times)
    found, expected = in_turns(sides, rounds), artifact.predict(x).astype(int)
    for side in found.values():
        if "said" in side:
            side["same"] = all(np.mean(np.asarray(said, int) == expected) > 0.999 for said in side.pop("said"))
    return row(f"predict, {len(x)}", f"784-300-50-10, {len(x):,} rows", found, "sonde", 1.5)


def measure(peers: Path, rounds: int) -> dict:
    """A row for each number of rows; `met` where both are."""
    rng = np.random.default_rng(0)
    made = {f"kernel_{i}": (rng.standard_normal(s) * np.sqrt(2 / s[0])).astype(np.float32)
            for i, s in enumerate(zip(SIZES[:-1], SIZES[1:], strict=True))}  # fmt: skip
    made["x"] = rng.random((max(ROWS), SIZES[0])).astype(np.float32)
    artifact = saved(made)
    with tempfile.TemporaryDirectory(prefix="sonde-predict-") as folder, contextlib.ExitStack() as stack:
        file = str(Path(folder) / "predict.npz")
        np.savez(file, **made)
        start = lambda *arguments: stack.enter_context(Process(peers, "peer_predict.py", *arguments, file))
        processes = {f"{way}, {n} threads": start(way, n) for way in WAYS for n in ("1", "2")}
        found = [compared(made["x"][:n], times, artifact, processes, rounds) for n, times in ROWS.items()]
    return {"case": "predict", "rows": found, "met": all(entry["met"] for entry in found)}


if __name__ == "__main__":
    from benchmarks.__main__ import main

    sys.exit(main(["predict", *sys.argv[1:]]))
