"""What the questions beside training share: sides in turns, new processes, and the row they end in.

A row says what was asked and what came:

    case, what        its name, and the sizes
    ours              the side of Sonde that counts
    sides             by name: {"seconds": median, "runs": [...]}, or {"missing": why}
    best_peer, ratio  the fastest peer, and its seconds / ours
    wanted, met       the ratio that was aimed at, and whether it was reached (None where no peer ran)
    ...               what the question adds, such as `same`: whether all sides did the same
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
ROUNDS = 5

Run = Callable[[int], float]
"""Does the thing once, with the number of the round, and returns seconds."""


class Missing(Exception):
    """A side cannot be measured; the message says why."""


def in_turns(sides: Mapping[str, Run], rounds: int = ROUNDS, warm: bool = True) -> dict[str, dict]:
    """Each side once a round, beginning at another each time; with ``warm`` a first round is thrown away."""
    names, found = list(sides), {name: {"runs": []} for name in sides}
    for r in range(-1 if warm else 0, rounds):
        at = max(r, 0) * len(names) // rounds
        for name in names[at:] + names[:at]:
            if "missing" in found[name]:
                continue
            try:
                seconds = sides[name](r + 1)
            except Missing as error:
                found[name] = {"missing": str(error)}
                continue
            if r >= 0:
                found[name]["runs"].append(seconds)
    for side in found.values():
        if "runs" in side:
            side["seconds"] = statistics.median(side["runs"])
    return found


def row(case: str, what: str, sides: dict, ours: str, peers: list[str], wanted: float, **more) -> dict:
    """The row of a question, see above."""
    ran = [name for name in peers if "seconds" in sides[name]]
    best = min(ran, key=lambda name: sides[name]["seconds"], default=None)
    ratio = sides[best]["seconds"] / sides[ours]["seconds"] if best else None
    met = None if ratio is None else ratio >= wanted
    return {
        "case": case, "what": what, "ours": ours, "sides": sides, "best_peer": best, "ratio": ratio,
        "wanted": wanted, "met": met, **more,
    }  # fmt: skip


def same_mean(a: list[float], b: list[float]) -> dict:
    """Whether paired losses have one mean: within 4 standard errors of their differences, and a hundredth of it."""
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    gap, allowed = abs(statistics.mean(gaps)), 4 * error + 0.01 * abs(statistics.mean(b))
    return {"same": gap <= allowed, "gap": gap, "allowed": allowed}


def program(python: Path | None, file: str, *arguments: str, **env: str) -> dict:
    """What a file of this folder prints as its last line, JSON, in a new process."""
    if python is None:
        raise Missing("no interpreter of the peers: give --peer-python or $SONDE_PEERS")
    command = [str(python), *([] if str(python) == sys.executable else ["-I"]), str(ROOT / "benchmarks" / file)]
    places = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [*command, *arguments], env={**os.environ, "PYTHONPATH": places, "JAX_PLATFORMS": "cpu", **env},
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def ask(measure: Callable[[Path | None], dict]) -> None:
    """The command of a question: prints its row, and writes it where ``--json`` says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer-python", default=os.environ.get("SONDE_PEERS"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    about = {"date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}", "load": os.getloadavg()[0]}
    found = measure(Path(given.peer_python).absolute() if given.peer_python else None)
    found = json.dumps({**about, **found}, indent=1)  # the load, before: seconds of a busy machine say little
    print(found)
    if given.json:
        given.json.write_text(found + "\n")
