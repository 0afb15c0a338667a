"""How long a search takes: 64 settings of 64-64-32-10 on digits, 30 epochs each: ``python -m benchmarks.search``.

The settings differ in the rate and in the momentum of Adam. All start from the same weights, on all cores: Sonde by
`execute_many`, the peers one setting a task of joblib, a thread a process. Warm: everything was run before. Cold: a new
process, from its start to the last setting; Sonde's with an empty cache and with one that knows the program.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.questions import ROUNDS, Missing, ask, in_turns, program, row, same_mean

SIZES, EPOCHS, BATCH, SETTINGS = (64, 64, 32, 10), 30, 32, 64


def problem(file: Path) -> None:
    """Write the rows, the settings and the initial weights."""
    import sonde as sd

    digits, rng = sd.data.load("digits"), np.random.default_rng(0)
    x = np.asarray(digits.train.x, np.float32).reshape(-1, SIZES[0]) / 16
    made = {"x": x, "y": np.asarray(digits.train.y, np.int32)}
    made |= {"rate": 10 ** rng.uniform(-3.5, -2, SETTINGS), "b1": rng.uniform(0.8, 0.95, SETTINGS)}
    for i, (m, n) in enumerate(zip(SIZES[:-1], SIZES[1:], strict=True)):
        made[f"kernel_{i}"] = (rng.standard_normal((m, n)) * np.sqrt(2 / m)).astype(np.float32)
    np.savez(file, **made)


def ours(file: str, first_seed: int) -> tuple[float, list[float]]:
    """Seconds of the search, and the mean loss over the rows at the end of each setting."""
    import jax

    import sonde as sd
    from sonde import nn
    from sonde.objectives import cross_entropy

    made = np.load(file)
    columns = {"x": jax.numpy.asarray(made["x"]), "y": jax.numpy.asarray(made["y"])}
    spec = nn.Sequential(a=nn.Dense(SIZES[1], nn.relu), b=nn.Dense(SIZES[2], nn.relu), c=nn.Dense(SIZES[3]))
    params = {f"{name}/kernel": jax.numpy.asarray(made[f"kernel_{i}"]) for i, name in enumerate("abc")}
    params |= {f"{name}/bias": jax.numpy.zeros(SIZES[i + 1]) for i, name in enumerate("abc")}
    began = time.perf_counter()
    plans = [
        sd.Plan(sd.Phase(sd.Turn(sd.Classify(), adam), sd.data.Shuffled(BATCH), epochs=EPOCHS)).prepare(columns)
        for adam in (sd.Adam(float(rate), b1=float(b1)) for rate, b1 in zip(made["rate"], made["b1"], strict=True))
    ]
    seeds = [first_seed + i for i in range(SETTINGS)]
    networks, _ = sd.train.execute_many(nn.Network(spec, params), plans, {"train": columns}, seeds)
    jax.block_until_ready(networks.params)
    seconds = time.perf_counter() - began
    losses = []
    for i in range(SETTINGS):
        net = nn.Network(spec, {path: value[i] for path, value in networks.params.items()})
        losses.append(float(np.mean(cross_entropy(net(columns["x"]), columns["y"]))))
    return seconds, losses


def measure(peers: Path | None) -> dict:
    """The row, with the cold times beside it."""
    with tempfile.TemporaryDirectory(prefix="sonde-search-") as folder:
        file, losses = str(Path(folder) / "search.npz"), {}
        problem(Path(file))

        def sonde(seed):
            seconds, losses["sonde"] = ours(file, 1000 * seed)
            return seconds

        # The peers warm themselves up in one process a call, which then gives a time for each round.
        warm = in_turns({"sonde": sonde})
        for kind in ("sklearn", "torch"):
            try:
                told = program(peers, "peer_search.py", kind, file, str(ROUNDS))
                losses[kind] = told["losses"]
                warm[kind] = {"runs": told["runs"], "seconds": float(np.median(told["runs"]))}
            except Missing as error:
                warm[kind] = {"missing": str(error)}
        own = Path(sys.executable)
        cold = in_turns(
            {
                "sonde, empty cache": lambda r: _whole(own, "search.py", "cold", file, cache=f"{folder}/{r}"),
                "sonde, warm cache": lambda r: _whole(own, "search.py", "cold", file, cache=f"{folder}/1"),
                "sklearn": lambda r: _whole(peers, "peer_search.py", "sklearn", file, "0"),
            },
            rounds=3, warm=False,
        )  # fmt: skip
        same = {kind: same_mean(losses["sonde"], losses[kind]) for kind in losses if kind != "sonde"}
    what = "64 settings of 64-64-32-10 on digits, 30 epochs, batch 32"
    mean = {kind: float(np.mean(values)) for kind, values in losses.items()}
    return row("search", what, warm, "sonde", ["sklearn", "torch"], 10, cold=cold, loss=mean, same=same)


def _whole(python: Path | None, *arguments: str, cache: str = "") -> float:
    began = time.perf_counter()
    program(python, *arguments, **({"SONDE_CACHE": cache} if cache else {}))
    return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1:2] == ["cold"]:
        print(ours(sys.argv[2], 0)[0])
    else:
        ask(measure)
