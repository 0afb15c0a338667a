"""How time and memory grow with rows, width and depth: ``python -m benchmarks.growth``.

An epoch of a dense network (64 inputs, ReLU, momentum, batch 64), each size in a process of its own, whose program one
before it has compiled: compiling takes 200 MiB, which is not what is asked. Time is held against the products'
operations, which grow with rows and depth, and with width as its square; memory, the most (VmHWM) beyond what the
process has after a small fit, against the bytes of rows and weights. Linear: a power of at most 1.1, fitted in
logarithms to the upper half of the sizes, below which what is fixed counts. The picture, from what ``python -m
benchmarks --json`` wrote: ``python -m benchmarks.growth plot FILE PICTURE``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.machine import status
from benchmarks.peers import OURS, program

SIZES = {
    "rows": [(n, 256, 2) for n in (2_500, 10_000, 40_000, 160_000, 640_000)],
    "width": [(3_200, n, 3) for n in (64, 128, 256, 512, 1024, 2048)],
    "depth": [(3_200, 256, n) for n in (1, 2, 4, 8, 16, 32)],
}
BATCH, INPUTS, WANTED = 64, 64, 1.1


def ours(rows: int, width: int, depth: int, times: int) -> dict:
    """Seconds of an epoch after a first one, the memory that it took, and what they are held against."""
    import sonde as sd
    from sonde import nn

    def seconds(times: int, rows: int, width: int, depth: int) -> list[float]:
        x = np.random.default_rng(0).standard_normal((rows, INPUTS), np.float32)
        data = sd.data.Dataset(train={"x": x, "y": (x[:, 0] > 0).astype(np.int32)})
        net = nn.Sequential(**{f"h{i}": nn.Dense(width, nn.relu) for i in range(depth)}, head=nn.Dense(2))
        fit = lambda: sd.fit(net, data, sd.Classify(), sd.SGD(1e-2, 0.9), epochs=1, batch=BATCH, progress=False)
        return [fit().seconds["train"] for _ in range(times)]

    seconds(1, BATCH, 8, 1)
    had = status("VmRSS")
    first, *runs = seconds(times, rows, width, depth)
    weights = INPUTS * width + (depth - 1) * width**2 + 2 * width
    return {
        "seconds": float(np.median(runs or [first])), "memory": status("VmHWM") - had, "operations": 6 * rows * weights,
        "bytes": 4 * (rows * (INPUTS + 1) + weights),
    }  # fmt: skip


def power(x: list[float], y: list[float]) -> float:
    """The power of x that y grows with, in the upper half."""
    half = len(x) // 2
    return float(np.polyfit(np.log(x[half:]), np.log(y[half:]), 1)[0])


def measure(peers: Path, rounds: int) -> dict:
    """A row of its own kind: powers by what grows, and the figures."""
    with tempfile.TemporaryDirectory(prefix="sonde-growth-") as cache:
        run = lambda *given: program(OURS, "growth.py", "ours", *map(str, given), SONDE_CACHE=cache)
        told = {kind: [[run(*size, times) for times in (1, 4)][1] for size in sizes] for kind, sizes in SIZES.items()}
    powers = {}
    for kind, found in told.items():
        column = lambda name, found=found: [f[name] for f in found]
        powers[kind] = {"time": power(column("operations"), column("seconds")),
                        "memory": power(column("bytes"), column("memory"))}  # fmt: skip
    met = all(value <= WANTED for each in powers.values() for value in each.values())
    return {"case": "growth", "wanted": WANTED, "powers": powers, "met": met, "figures": told, "sizes": SIZES}


def plot(found: dict, file: str) -> None:
    """Three panels of seconds, three of memory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = plt.subplots(2, 3, figsize=(11, 6.5), layout="constrained")
    others = ("width {1}, {2} layers", "{0:,} rows, {2} layers", "{0:,} rows, width {1}")
    for j, (kind, sizes) in enumerate(found["sizes"].items()):
        at, told, powers = [s[j] for s in sizes], found["figures"][kind], found["powers"][kind]
        axes[0, j].set_title(others[j].format(*sizes[0]), fontsize=10)
        for axis, key, against, scale, label, power in (
            (axes[0, j], "seconds", "operations", 1, "seconds an epoch", powers["time"]),
            (axes[1, j], "memory", "bytes", 2**20, "memory (MiB)", powers["memory"]),
        ):
            axis.loglog(at, [f[key] / scale for f in told], "o-", color="#0072B2", label=f"measured, power {power:.2f}")
            line = [told[-1][key] / scale * f[against] / told[-1][against] for f in told]
            axis.loglog(at, line, "--", color="#D55E00", label=f"in proportion to {against}")
            axis.set(xlabel=kind, ylabel=label)
            axis.set_xticks(at, [f"{size:,}" for size in at], rotation=20 if kind == "rows" else 0)
            axis.set_xticks([], minor=True)
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.legend(fontsize=8, loc="upper left")
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
