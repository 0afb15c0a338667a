"""How long until something has been learned: a new process, from the import to the end of the first epoch of MNIST.

``python -m benchmarks.cold``: 784-300-50-10, batch 50, momentum, 60,000 rows; Sonde with an empty and with a warm
cache of compiled programs, PyTorch eager with one and two threads. The clock starts before the first import.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.questions import ask, in_turns, program, row

ROWS = 60_000


def ours(file: str) -> dict:
    """Seconds from here to the end of the epoch, and the loss over the rows."""
    began = time.perf_counter()
    import sonde as sd
    from sonde import nn

    made = np.load(file)
    data = sd.data.Dataset(train={"x": made["x"].astype(np.float32) / 255, "y": made["y"]})
    net = nn.Sequential(a=nn.Dense(300, nn.relu), b=nn.Dense(50, nn.relu), c=nn.Dense(10))
    run = sd.fit(net, data, sd.Classify(), sd.SGD(0.05, 0.9), epochs=1, batch=50, progress=False)
    seconds = time.perf_counter() - began
    from sonde.objectives import cross_entropy

    loss = float(np.mean(cross_entropy(run.network(data.train.x), data.train.y)))
    return {"seconds": seconds, "loss": loss, "parts": run.seconds}


def measure(peers: Path | None) -> dict:
    """Two rows: `met` with a warm cache at least 1, with an empty one at least 1 / 1.5."""
    from benchmarks.cases import _mnist

    x, y, source = _mnist(ROWS)
    with tempfile.TemporaryDirectory(prefix="sonde-cold-") as folder:
        file, losses = str(Path(folder) / "cold.npz"), {}
        np.savez(file, x=np.round(x * 255).astype(np.uint8), y=y.astype(np.int32))

        def side(name, python, program_file, *arguments, cache=None):
            def run(r):
                env = {"SONDE_CACHE": cache(r)} if cache else {}
                told = program(python, program_file, *arguments, **env)
                losses.setdefault(name, []).append(told["loss"])
                return told["seconds"]

            return run

        own = Path(sys.executable)
        sides = in_turns({
            "sonde, empty cache": side("empty", own, "cold.py", "ours", file, cache=lambda r: f"{folder}/empty-{r}"),
            "sonde, warm cache": side("warm", own, "cold.py", "ours", file, cache=lambda r: f"{folder}/warm"),
            "torch eager, 1 thread": side("torch", peers, "peer_cold.py", file, "1"),
            "torch eager, 2 threads": side("torch", peers, "peer_cold.py", file, "2"),
        })  # fmt: skip
    names = [name for name in sides if name.startswith("torch")]
    what = f"import to the end of the first epoch, 784-300-50-10, batch 50, {ROWS:,} rows of {source}"
    warm = row("cold, warm cache", what, sides, "sonde, warm cache", names, 1.0)
    empty = row("cold, empty cache", what, sides, "sonde, empty cache", names, 1 / 1.5)
    mean = {name: float(np.mean(values)) for name, values in losses.items()}
    same = None
    if "torch" in losses:  # each side has initial weights of its own, drawn alike
        gap = abs(mean["warm"] - mean["torch"])
        error = sum(np.var(losses[name], ddof=1) / len(losses[name]) for name in ("warm", "torch")) ** 0.5
        same = {"gap": gap, "allowed": float(4 * error), "same": bool(gap <= 4 * error)}
    return {"case": "cold", "rows": [warm, empty], "loss": mean, "same": same, "met": warm["met"] and empty["met"]}


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        import json

        print(json.dumps(ours(sys.argv[2])))
    else:
        sys.exit(ask(measure))
