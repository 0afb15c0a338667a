"""What was measured where, and the memory of this process."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

from benchmarks.peers import Missing, program
from benchmarks.versions import versions

OURS = ("sonde", "jax", "jaxlib", "optax", "numpy", "scikit-learn")
PEERS = ("torch", "keras", "jax", "numpy", "scikit-learn", "joblib")


def header(python: Path, rounds: int) -> dict:
    """The machine, what else it does, and the versions on our side and of the peers' interpreter."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        names = [s for s in Path("/proc/cpuinfo").read_text().splitlines() if s.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    try:
        theirs = program(python, "versions.py", *PEERS)
    except Missing as error:
        theirs = {"missing": str(error)}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": model, "cores": cores(), "load": os.getloadavg()[0], "system": platform.platform()},
        "versions": versions(*OURS),
        "peer_versions": theirs,
        "rounds": rounds,
        "meaning": {
            "seconds": "median of the rounds' wall time; of a case, of its training loop, warm",
            "ratio": "peer's seconds / Sonde's: above 1, Sonde is faster; ratio_range: within the rounds",
            "limit_fraction": "seconds of the matrix products alone / Sonde's seconds",
            "same": "of losses: their means differ by less than 4 standard errors + 0.1 %",
            "met": "the ratio to the fastest peer is at least the one that is wanted, and the sides did the same",
        },
    }


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def status(name: str) -> int:
    """A figure of this process in bytes, such as RssAnon (memory of its own) or VmHWM (the most, files included)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))
