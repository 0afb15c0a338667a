"""How long a prediction takes, of one row and of 10,000: ``python -m benchmarks.predict``.

784-300-50-10 with the same weights on all sides, from rows in NumPy to the numbers of the classes in NumPy, as a user
calls it: an `Artifact` in Sonde (which checks what comes in), a module in PyTorch, `MLPClassifier` in scikit-learn.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.questions import ROUNDS, Missing, ask, in_turns, program, row

SIZES, ROWS = (784, 300, 50, 10), {1: 200, 10_000: 5}
"""How often it is repeated within a run, by the rows."""


def timed(predict, x: np.ndarray) -> float:
    """Seconds of one prediction, the mean of a run."""
    times = ROWS[len(x)]
    began = time.perf_counter()
    for _ in range(times):
        predict(x)
    return (time.perf_counter() - began) / times


def measure(peers: Path | None) -> dict:
    """A row for each number of rows; `met` where both are."""
    import sonde as sd
    from sonde import nn

    rng = np.random.default_rng(0)
    made = {f"kernel_{i}": (rng.standard_normal(s) * np.sqrt(2 / s[0])).astype(np.float32)
            for i, s in enumerate(zip(SIZES[:-1], SIZES[1:], strict=True))}  # fmt: skip
    x = rng.random((max(ROWS), SIZES[0])).astype(np.float32)
    net = nn.Sequential(a=nn.Dense(300, nn.relu), b=nn.Dense(50, nn.relu), c=nn.Dense(10))
    params = {f"{name}/kernel": made[f"kernel_{i}"] for i, name in enumerate("abc")}
    params |= {f"{name}/bias": np.zeros(SIZES[i + 1], np.float32) for i, name in enumerate("abc")}
    start = nn.Network(net, params)
    data = sd.data.Dataset(train={"x": x[:100], "y": np.arange(100, dtype=np.int32) % 10})
    artifact = sd.fit(start, data, sd.Classify(), sd.SGD(1e-12), steps=1, progress=False).artifact
    bare = lambda x: np.asarray(artifact.network(x)).argmax(1)
    found, same = [], {}
    with tempfile.TemporaryDirectory(prefix="sonde-predict-") as folder:
        file = str(Path(folder) / "predict.npz")
        np.savez(file, x=x, **made)
        for rows in ROWS:
            few = x[:rows]
            sides = in_turns({
                "sonde": lambda r, few=few: timed(artifact.predict, few),
                "sonde, the network alone": lambda r, few=few: timed(bare, few),
            })  # fmt: skip
            said = artifact.predict(few)
            for way in ("eager-1", "eager-2", "compile-1", "compile-2", "sklearn-1", "sklearn-2"):
                try:
                    told = program(peers, "peer_predict.py", way, file, str(rows), str(ROWS[rows]), str(ROUNDS))
                    sides[way] = {"runs": told["runs"], "seconds": float(np.median(told["runs"]))}
                    same[f"{rows}: {way}"] = float(np.mean(np.array(told["said"]) == said)) > 0.999
                except Missing as error:
                    sides[way] = {"missing": str(error)}
            names = [name for name in sides if not name.startswith("sonde")]
            found.append(row(f"predict, {rows}", f"784-300-50-10, {rows:,} rows", sides, "sonde", names, 1.5))
    return {"case": "predict", "rows": found, "same": same, "met": all(entry["met"] for entry in found)}


if __name__ == "__main__":
    sys.exit(ask(measure))
