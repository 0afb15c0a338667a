"""How long a search takes: 64 settings of 64-64-32-10 on digits, 30 epochs each: ``python -m benchmarks.search``.

The settings differ in the rate and in the momentum of Adam. All start from the same weights, on all cores: Sonde by
`execute_many`, the peers one setting a task of joblib, a thread a process. Each side gives the mean over the settings
of the final loss. Warm: everything was run before. Cold: a new process, from its start to its answer; Sonde's with an
empty cache and with one that knows the program.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.peers import OURS, Process
from benchmarks.questions import row
from benchmarks.turns import Run, in_turns

PEERS = ("sklearn", "torch")
SIZES, EPOCHS, BATCH, SETTINGS = (64, 64, 32, 10), 30, 32, 64


def problem(file: Path) -> None:
    """Write the rows, the settings and the initial weights."""
    import sonde as sd

    digits, rng = sd.data.load("digits"), np.random.default_rng(0)
    x = np.asarray(digits.train.x, np.float32).reshape(-1, SIZES[0]) / 16
    made = {"x": x, "y": np.asarray(digits.train.y, np.int32)}
    made |= {"epochs": np.array(EPOCHS), "batch": np.array(BATCH)}
    made |= {"rate": 10 ** rng.uniform(-3.5, -2, SETTINGS), "b1": rng.uniform(0.8, 0.95, SETTINGS)}
    for i, (m, n) in enumerate(zip(SIZES[:-1], SIZES[1:], strict=True)):
        made[f"kernel_{i}"] = (rng.standard_normal((m, n)) * np.sqrt(2 / m)).astype(np.float32)
    np.savez(file, **made)


def ours(file: str, round: int) -> dict:
    """Seconds of the search, and the mean over the settings of the loss over all rows."""
    import jax

    import sonde as sd
    from sonde import nn
    from sonde.objectives import cross_entropy

    made = np.load(file)
    columns = {"x": jax.numpy.asarray(made["x"]), "y": jax.numpy.asarray(made["y"])}
    spec = nn.Sequential(a=nn.Dense(SIZES[1], nn.relu), b=nn.Dense(SIZES[2], nn.relu), c=nn.Dense(SIZES[3]))
    params = {f"{name}/kernel": jax.numpy.asarray(made[f"kernel_{i}"]) for i, name in enumerate("abc")}
    params |= {f"{name}/bias": jax.numpy.zeros(SIZES[i + 1]) for i, name in enumerate("abc")}
    began, batch, epochs = time.perf_counter(), sd.data.Shuffled(int(made["batch"])), int(made["epochs"])
    plans = [
        sd.Plan(sd.Phase(sd.Turn(sd.Classify(), adam), batch, epochs=epochs)).prepare(columns)
        for adam in (sd.Adam(float(rate), b1=float(b1)) for rate, b1 in zip(made["rate"], made["b1"], strict=True))
    ]
    seeds = [1000 * round + i for i in range(len(plans))]
    networks, _ = sd.train.execute_many(nn.Network(spec, params), plans, {"train": columns}, seeds)
    jax.block_until_ready(networks.params)
    seconds = time.perf_counter() - began
    losses = []
    for i in range(len(plans)):
        net = nn.Network(spec, {path: value[i] for path, value in networks.params.items()})
        losses.append(float(np.mean(cross_entropy(net(columns["x"]), columns["y"]))))
    return {"seconds": seconds, "loss": float(np.mean(losses))}


def cold(file: str) -> None:
    """Answers one search, in a process that has done nothing before."""
    from benchmarks.answering import serve

    serve(lambda request: ours(file, request["round"]))


def measure(peers: Path, rounds: int) -> dict:
    """Two rows: warm, which is what was aimed at, and cold."""
    what = f"{SETTINGS} settings of {'-'.join(map(str, SIZES))} on digits, {EPOCHS} epochs, batch {BATCH}"
    with tempfile.TemporaryDirectory(prefix="sonde-search-") as folder, contextlib.ExitStack() as stack:
        file = str(Path(folder) / "search.npz")
        problem(Path(file))

        def stays(kind: str) -> Run:
            process = stack.enter_context(Process(peers, "peer_search.py", kind, file))
            return lambda r: process.ask(round=r)

        def starts(*command, cache: str = "") -> Run:
            def run(r: int) -> dict:
                began = time.perf_counter()
                with Process(*command, file, SONDE_CACHE=f"{folder}/{cache or r}") as process:
                    return process.ask(round=r) | {"seconds": time.perf_counter() - began}

            return run

        warm = in_turns({"sonde": lambda r: ours(file, r)} | {kind: stays(kind) for kind in PEERS}, rounds)
        stack.close()
        sides = {"sonde, empty cache": starts(OURS, "search.py", "cold")}
        sides["sonde, warm cache"] = starts(OURS, "search.py", "cold", cache="warm")
        sides |= {kind: starts(peers, "peer_search.py", kind) for kind in PEERS}
        first = in_turns(sides, rounds)
    asked = row("search", what, warm, "sonde", 10)
    cold = [row(f"search, cold, {name}", what, first, f"sonde, {name}", None) for name in ("warm cache", "empty cache")]
    return {"case": "search", "rows": [asked, *cold], "met": asked["met"]}


if __name__ == "__main__":
    if sys.argv[1:2] == ["cold"]:
        cold(sys.argv[2])
    else:
        from benchmarks.__main__ import main

        sys.exit(main(["search", *sys.argv[1:]]))
