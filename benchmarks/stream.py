"""Whether rows that do not fit are as fast as rows that do: ``python -m benchmarks.stream``.

An epoch of 784-300-50-10 (batch 50, momentum) over a file of 512 MiB, read in chunks of 16 MiB by a process that may
have 128 MiB more than it has after a first, short run of the same program; the limit is the kernel's (RLIMIT_DATA).
Beside it the same rows in memory, without a limit; and, to show that the limit bites, the same rows in memory under it.

Memory is what is the process's own (RssAnon). Pages of the file that it has mapped are the kernel's, which takes them
back when somebody needs them, and neither counted nor limited. It is flat where the second half of the fit needs, on
the average over it, less than a chunk more than the first half did: one that kept what it read would need 16 more.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from benchmarks.machine import status
from benchmarks.peers import OURS, Missing, program
from benchmarks.questions import row
from benchmarks.turns import in_turns

MIB = 2**20
FILE, ALLOWED, CHUNK = 512 * MIB, 128 * MIB, 16 * MIB
BATCH = 50


def ours(folder: str, kind: str, allowed: str, seed: str) -> dict:
    """Seconds of an epoch, its loss, and the memory: before, the most beyond that, and how much came late."""
    import sonde as sd
    from sonde import nn

    x, y = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "xy")
    chunk = CHUNK // (4 * x.shape[1]) // BATCH * BATCH
    streamed = kind == "stream"
    net = nn.Sequential(a=nn.Dense(300, nn.relu), b=nn.Dense(50, nn.relu), c=nn.Dense(10))

    def fit(epochs=0, steps=0):
        columns = {"x": x, "y": y} if streamed else held
        data = sd.data.Dataset(train=columns, chunk=chunk if streamed else None)
        return sd.fit(
            net, data, sd.Classify(), sd.SGD(0.05, 0.9), batch=BATCH, epochs=epochs, steps=steps, seed=int(seed),
            progress=False,
        )  # fmt: skip

    held = None if streamed or int(allowed) else {"x": np.array(x), "y": np.array(y)}
    if streamed or held:
        fit(steps=2 * chunk // BATCH)
    had, used, over = status("RssAnon"), [], threading.Event()
    if int(allowed):
        whole = status("VmData") + int(allowed)
        resource.setrlimit(resource.RLIMIT_DATA, (whole, whole))
        held = held or (None if streamed else {"x": np.array(x), "y": np.array(y)})

    def watch():
        while not over.wait(0.02):
            used.append(status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run = fit(epochs=1)
    over.set()
    watcher.join()
    return {
        "seconds": run.seconds["train"], "loss": float(run.history["train/loss"][-1]), "resident": had,
        "more": max(used) - had, "late": late(used),
    }  # fmt: skip


def late(used: list[int]) -> int:
    """How much more the second half needs than the first, each on the average."""
    half = len(used) // 2
    return round(np.mean(used[half:]) - np.mean(used[:half]))


def flat(late: list[int]) -> bool:
    """Whether memory was flat in every round."""
    return max(late) < CHUNK


def measure(peers: Path, rounds: int) -> dict:
    """The row; no peer is asked, the rows in memory are what it is held against."""
    from benchmarks.cases import mnist

    with tempfile.TemporaryDirectory(prefix="sonde-stream-") as folder:
        x, y, source = mnist(20_000)
        rows = FILE // (4 * x.shape[1])
        at = np.random.default_rng(0).integers(0, len(x), rows)
        out = np.lib.format.open_memmap(f"{folder}/x.npy", "w+", np.float32, (rows, x.shape[1]))
        for i in range(0, rows, 10_000):
            out[i : i + 10_000] = x[at[i : i + 10_000]]
        out.flush()
        np.save(f"{folder}/y.npy", y[at].astype(np.int32))
        run = lambda kind, allowed, r: program(OURS, "stream.py", "ours", folder, kind, str(allowed), str(r))
        sides = {"sonde, streamed": lambda r: run("stream", ALLOWED, r), "in memory": lambda r: run("memory", 0, r)}
        sides = in_turns(sides, rounds, warm=False)
        try:
            run("memory", ALLOWED, 0)
            bites = None
        except Missing as error:
            bites = str(error)
    streamed = sides["sonde, streamed"]
    return row(
        "stream", f"{rows:,} rows of {source}, a file of {FILE // MIB} MiB, {ALLOWED // MIB} MiB more allowed",
        sides, "sonde, streamed", 0.9, condition="flat memory, and in memory the rows do not fit under the limit",
        holds="late" in streamed and flat(streamed["late"]) and bites is not None, in_memory_under_the_limit=bites,
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        print(json.dumps(ours(*sys.argv[2:])))
    else:
        from benchmarks.__main__ import main

        sys.exit(main(["stream", *sys.argv[1:]]))
