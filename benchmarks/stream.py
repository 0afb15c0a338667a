"""Whether rows that do not fit are as fast as rows that do: ``python -m benchmarks.stream``.

An epoch of 784-300-50-10 (batch 50, momentum) over a file of 512 MiB, read in chunks of 16 MiB by a process that may
have 128 MiB more than it has after a first, short run of the same program; the limit is the kernel's (RLIMIT_DATA).
Beside it the same rows in memory, without a limit; and, to show that the limit bites, the same rows in memory under it.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from benchmarks.questions import Missing, ask, in_turns, program, row

MIB = 2**20
FILE, ALLOWED, CHUNK = 512 * MIB, 128 * MIB, 16 * MIB
BATCH = 50


def status(name: str) -> int:
    """A figure of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))


def ours(folder: str, kind: str, limited: str) -> dict:
    """Seconds of an epoch, its loss, and the memory it took beyond what the process had."""
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
            net, data, sd.Classify(), sd.SGD(0.05, 0.9), batch=BATCH, epochs=epochs, steps=steps, progress=False
        )

    held = None if streamed or limited == "yes" else {"x": np.array(x), "y": np.array(y)}
    if streamed or held:
        fit(steps=2 * chunk // BATCH)
    had, most, over = status("RssAnon"), [0], threading.Event()
    if limited == "yes":
        whole = status("VmData") + ALLOWED
        resource.setrlimit(resource.RLIMIT_DATA, (whole, whole))
        held = held or (None if streamed else {"x": np.array(x), "y": np.array(y)})

    def watch():
        while not over.wait(0.02):
            most[0] = max(most[0], status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run = fit(epochs=1)
    over.set()
    watcher.join()
    return {
        "seconds": run.seconds["train"], "loss": float(run.history["train/loss"][-1]), "resident": had,
        "more": most[0] - had, "peak": status("VmHWM"),
    }  # fmt: skip


def measure(peers: Path | None) -> dict:
    """The row; no peer is asked, the rows in memory are what it is held against."""
    from benchmarks.cases import _mnist

    told = {}
    with tempfile.TemporaryDirectory(prefix="sonde-stream-") as folder:
        x, y, source = _mnist(20_000)
        rows = FILE // (4 * x.shape[1])
        at = np.random.default_rng(0).integers(0, len(x), rows)
        out = np.lib.format.open_memmap(f"{folder}/x.npy", "w+", np.float32, (rows, x.shape[1]))
        for i in range(0, rows, 10_000):
            out[i : i + 10_000] = x[at[i : i + 10_000]]
        out.flush()
        np.save(f"{folder}/y.npy", y[at].astype(np.int32))

        def side(kind, limited):
            def run(r):
                found = program(Path(sys.executable), "stream.py", "ours", folder, kind, limited)
                told.setdefault(kind, []).append(found)
                return found["seconds"]

            return run

        sides = in_turns({"stream": side("stream", "yes"), "in memory": side("memory", "no")}, warm=False)
        try:
            program(Path(sys.executable), "stream.py", "ours", folder, "memory", "yes")
            bites = "NO: the rows in memory fit under it"
        except Missing as error:
            bites = str(error)
    memory = {kind: {key: float(np.median([f[key] for f in found])) for key in ("loss", "resident", "more", "peak")}
              for kind, found in told.items()}  # fmt: skip
    what = f"{rows:,} rows of {source}, a file of {FILE // MIB} MiB, {ALLOWED // MIB} MiB more allowed"
    return row("stream", what, sides, "stream", ["in memory"], 0.9, memory=memory, in_memory_under_the_limit=bites)


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        print(json.dumps(ours(*sys.argv[2:])))
    else:
        sys.exit(ask(measure))
