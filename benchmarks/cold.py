"""How long until something has been learned: a new process, from the import to the end of the first epoch of MNIST.

``python -m benchmarks.cold``: 784-300-50-10, batch 50, momentum, 60,000 rows; Sonde with an empty and with a warm
cache of compiled programs, PyTorch eager with one and two threads. The clock starts before the first import. Each side
draws initial weights and an order of its own each round, and gives the loss over the rows after the epoch.
"""

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from benchmarks.peers import OURS, program  # noqa: E402
from benchmarks.questions import row  # noqa: E402
from benchmarks.turns import in_turns  # noqa: E402

ROWS = 60_000


def ours(file: str, seed: str) -> dict:
    """Seconds from the start to the end of the epoch, and the loss over the rows."""
    import sonde as sd
    from sonde import nn

    made = np.load(file)
    data = sd.data.Dataset(train={"x": made["x"].astype(np.float32) / 255, "y": made["y"]})
    net = nn.Sequential(a=nn.Dense(300, nn.relu), b=nn.Dense(50, nn.relu), c=nn.Dense(10))
    run = sd.fit(net, data, sd.Classify(), sd.SGD(0.05, 0.9), epochs=1, batch=50, seed=int(seed), progress=False)
    seconds = time.perf_counter() - BEGAN
    from sonde.objectives import cross_entropy

    loss = float(np.mean(cross_entropy(run.network(data.train.x), data.train.y)))
    return {"seconds": seconds, "loss": loss, "parts": run.seconds}


def measure(peers: Path, rounds: int) -> dict:
    """Two rows: `met` with a warm cache at least 1, with an empty one at least 1 / 1.5."""
    from benchmarks.cases import mnist

    x, y, source = mnist(ROWS)
    with tempfile.TemporaryDirectory(prefix="sonde-cold-") as folder:
        file = str(Path(folder) / "cold.npz")
        np.savez(file, x=np.round(x * 255).astype(np.uint8), y=y.astype(np.int32))
        sonde = lambda r, cache: program(OURS, "cold.py", "ours", file, str(r), SONDE_CACHE=f"{folder}/{cache}")
        sides = in_turns({
            "sonde, empty cache": lambda r: sonde(r, f"empty-{r}"),
            "sonde, warm cache": lambda r: sonde(r, "warm"),
            "torch eager, 1 thread": lambda r: program(peers, "peer_cold.py", file, "1", str(r)),
            "torch eager, 2 threads": lambda r: program(peers, "peer_cold.py", file, "2", str(r)),
        }, rounds)  # fmt: skip
    what = f"import to the end of the first epoch, 784-300-50-10, batch 50, {ROWS:,} rows of {source}"
    wanted = {"warm cache": 1.0, "empty cache": 1 / 1.5}
    rows = [row(f"cold, {cache}", what, sides, f"sonde, {cache}", ratio) for cache, ratio in wanted.items()]
    return {"case": "cold", "rows": rows, "met": all(entry["met"] for entry in rows)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        print(json.dumps(ours(*sys.argv[2:])))
    else:
        from benchmarks.__main__ import main

        sys.exit(main(["cold", *sys.argv[1:]]))
