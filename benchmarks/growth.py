"""How time and memory grow with rows, width and depth: ``python -m benchmarks.growth``.

An epoch of a dense network (64 inputs, ReLU, momentum, batch 64), each size in a process of its own. Time is held
against the products' operations, which grow with rows and depth, and with width as its square; memory against the
bytes of rows and weights. Linear: a power of at most 1.1, fitted in logarithms to the upper half of the sizes, below
which what is fixed counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.machine import status
from benchmarks.peers import OURS, program

SIZES = {
    "rows": [(n, 256, 2) for n in (5_000, 20_000, 80_000, 320_000, 1_280_000)],
    "width": [(3_200, n, 3) for n in (64, 128, 256, 512, 1024, 2048)],
    "depth": [(3_200, 256, n) for n in (1, 2, 4, 8, 16, 32)],
}
BATCH, INPUTS, WANTED = 64, 64, 1.1


def ours(rows: int, width: int, depth: int) -> dict:
    """Seconds of an epoch after one that compiled, the peak of memory, and what they are held against."""
    import sonde as sd
    from sonde import nn

    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, INPUTS), np.float32)
    data = sd.data.Dataset(train={"x": x, "y": (x[:, 0] > 0).astype(np.int32)})
    net = nn.Sequential(**{f"h{i}": nn.Dense(width, nn.relu) for i in range(depth)}, head=nn.Dense(2))
    fit = lambda: sd.fit(net, data, sd.Classify(), sd.SGD(1e-2, 0.9), epochs=1, batch=BATCH, progress=False)
    fit()
    seconds = [fit().seconds["train"] for _ in range(3)]
    weights = INPUTS * width + (depth - 1) * width**2 + 2 * width
    return {
        "seconds": float(np.median(seconds)), "peak": status("VmHWM"), "operations": 6 * rows * weights,
        "bytes": 4 * (rows * (INPUTS + 1) + weights),
    }  # fmt: skip


def power(x: list[float], y: list[float]) -> float:
    """The power of x that y grows with, in the upper half."""
    half = len(x) // 2
    return float(np.polyfit(np.log(x[half:]), np.log(y[half:]), 1)[0])


def measure(peers: Path, rounds: int) -> dict:
    """A row of its own kind: powers by what grows, and the figures."""
    told = {kind: [program(OURS, "growth.py", "ours", *map(str, s)) for s in sizes]
            for kind, sizes in SIZES.items()}  # fmt: skip
    powers = {}
    for kind, found in told.items():
        column = lambda name, found=found: [f[name] for f in found]
        powers[kind] = {"time": power(column("operations"), column("seconds")),
                        "memory": power(column("bytes"), column("peak"))}  # fmt: skip
    met = all(value <= WANTED for each in powers.values() for value in each.values())
    return {"case": "growth", "wanted": WANTED, "powers": powers, "met": met, "figures": told, "sizes": SIZES}


def plot(found: dict, file: str) -> None:
    """Three panels of seconds, three of memory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
    for j, (kind, sizes) in enumerate(found["sizes"].items()):
        sizes, told = [s[j] for s in sizes], found["figures"][kind]
        for axis, key, scale, label in (
            (axes[0, j], "seconds", 1, "seconds an epoch"),
            (axes[1, j], "peak", 2**20, "peak memory (MiB)"),
        ):
            axis.loglog(sizes, [f[key] / scale for f in told], "o-", color="#0072B2", label="measured")
            against = "operations" if key == "seconds" else "bytes"
            line = [told[-1][key] / scale * f[against] / told[-1][against] for f in told]
            axis.loglog(sizes, line, "--", color="#D55E00", label=f"in proportion to {against}")
            axis.set(xlabel=kind, ylabel=label)
            axis.legend(fontsize=8)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        print(json.dumps(ours(*map(int, sys.argv[2:]))))
    elif sys.argv[1:2] == ["plot"]:
        asked = json.loads(Path(sys.argv[2]).read_text())["questions"]
        plot(next(answer for answer in asked if answer["case"] == "growth"), sys.argv[3])
    else:
        from benchmarks.__main__ import main

        sys.exit(main(["growth", *sys.argv[1:]]))
