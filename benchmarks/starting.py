"""How quick the start is, and what looking costs: ``python -m benchmarks.starting``.

Everything is measured in new processes with an empty compilation cache and compiled byte code, medians of 5; only the
last two rows compare runs within one process, in turns.
"""

from __future__ import annotations

import compileall
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
ROUNDS = 5

IMPORT = """
import json, time
began = time.perf_counter()
import jax, optax
alone = time.perf_counter() - began
import sonde
print(json.dumps([alone, time.perf_counter() - began]))
"""

FITS = """
import json, time
import jax, numpy as np
import sonde as sd
from sonde import nn

def fit(rows):
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, 8)).astype(np.float32)
    part = lambda at: {"x": x[at], "y": (x[at].sum(1) > 0).astype(np.int32)}
    data = sd.data.Dataset(train=part(slice(rows // 5, None)), valid=part(slice(rows // 5)))
    net = nn.Sequential(hidden=nn.Dense(32, nn.relu), head=nn.Dense(2))
    began = time.perf_counter()
    sd.fit(net, data, sd.Classify(), sd.Adam(1e-2), epochs=5, progress=False)
    return time.perf_counter() - began

print(json.dumps([fit(500), fit(500), fit(501)]))
"""


def fresh(program: str) -> list[float]:
    """What a program prints in a new Python that knows nothing yet; medians over several."""
    env = os.environ | {"PYTHONPATH": str(SOURCE), "SONDE_COMPILATION_CACHE": "0"}
    said = [
        json.loads(subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True).stdout)
        for _ in range(ROUNDS)
    ]
    return [statistics.median(values) for values in zip(*said, strict=True)]


def looking() -> tuple[float, float]:
    """Seconds of training with metrics, probes and a watcher, over those without; and over those without metrics."""
    import numpy as np

    import sonde as sd
    from benchmarks.cases import CASES, arrays
    from sonde import nn
    from sonde.objectives import cross_entropy

    class Bare(sd.Objective):
        def __call__(self, net, batch):
            return batch.mean(cross_entropy(net(batch.x), batch.y))

    case = CASES["mlp"]
    made, _ = arrays(case)
    data = sd.data.Dataset(train={"x": made["x"], "y": made["y"].astype(np.int32)})
    *hidden, last = [units for _, units, _ in case.layers]
    net = nn.Sequential(**{f"layer_{i}": nn.Dense(n, nn.relu) for i, n in enumerate(hidden)}, head=nn.Dense(last))
    optimizer, common = sd.SGD(case.rate, case.momentum), {"epochs": 4, "batch": case.batch, "progress": False}
    probes = (sd.GradientNorm(), sd.UpdateRatio(), sd.DeadUnits())
    watched = {"probes": probes, "observer": lambda told: told.report}
    kinds: dict[str, Callable] = {
        "bare": lambda: sd.fit(net, data, Bare(), optimizer, **common),
        "metrics": lambda: sd.fit(net, data, sd.Classify(), optimizer, **common),
        "watched": lambda: sd.fit(net, data, sd.Classify(), optimizer, **common, **watched),
    }
    seconds = {kind: [] for kind in kinds}
    for round in range(ROUNDS + 1):
        for kind, fit in list(kinds.items())[:: 1 if round % 2 else -1]:
            run = fit()
            if round:  # the first compiles
                seconds[kind].append(run.seconds["train"])
    over = lambda a, b: statistics.median(x / y for x, y in zip(seconds[a], seconds[b], strict=True))
    return over("watched", "metrics"), over("metrics", "bare")


def main() -> None:
    """The table."""
    compileall.compile_dir(SOURCE, quiet=1)
    alone, both = fresh(IMPORT)
    first, second, third = fresh(FITS)
    began = time.perf_counter()
    watched, metrics = looking()
    print("| what | measured |\n| --- | --- |")
    print(f"| `import jax, optax` | {alone:.3f} s |")
    print(f"| the same and `import sonde` | {both:.3f} s, {both / alone:.2f} times |")
    print(f"| the first fit of a table of 400 rows for training | {first:.2f} s |")
    print(f"| the second | {1000 * second:.0f} ms |")
    print(f"| one of 401 rows | {1000 * third:.0f} ms |")
    print(f"| `mlp` with probes and a watcher / without | {watched:.3f} |")
    print(f"| `mlp` with metrics / the loss alone | {metrics:.3f} |")
    print(f"({time.perf_counter() - began:.0f} s for the last two rows)", file=sys.stderr)


if __name__ == "__main__":
    main()
