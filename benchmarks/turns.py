"""Sides in turns, and whether two of them did the same."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

from benchmarks.peers import Missing, NotThere

ROUNDS = 5
SETTLE = 0.05  # seconds between runs, in which the last side's threads go to sleep

Run = Callable[[int], Mapping]
"""Does the thing once, with the number of the round; returns its ``seconds``, and what else is to be kept of it."""


def in_turns(sides: Mapping[str, Run], rounds: int = ROUNDS, warm: bool = True) -> dict[str, dict]:
    """Each side once a round, beginning at another each time; with ``warm`` a first round, 0, is thrown away.

    Gives of each side its ``runs`` and their median ``seconds``, and what else it told, a list of a value a round; or
    why it is ``missing``. A side that is not there is left out.
    """
    names, found = list(sides), {name: {"runs": []} for name in sides}
    for r in range(0 if warm else 1, rounds + 1):
        at = max(r - 1, 0) * len(names) // rounds
        for name in names[at:] + names[:at]:
            if name not in found or "missing" in found[name]:
                continue
            time.sleep(SETTLE)
            try:
                told = sides[name](r)
            except NotThere:
                del found[name]
                continue
            except Missing as error:
                found[name] = {"missing": str(error)}
                continue
            if r:
                found[name]["runs"].append(told["seconds"])
                for key, value in told.items():
                    if key != "seconds":
                        found[name].setdefault(key, []).append(value)
    for side in found.values():
        if "runs" in side:
            side["seconds"] = statistics.median(side["runs"])
    return found


def compare_losses(a: list[float], b: list[float]) -> dict:
    """Say whether two sides' final losses have one mean, as far as shuffling lets one see.

    They may differ by 4 standard errors of the difference, plus a thousandth for rounding (a full batch is
    not shuffled, so has no standard error).
    """
    gap = abs(statistics.mean(a) - statistics.mean(b))
    error = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    allowed = 4 * error + 1e-3 * abs(statistics.mean(b))
    return {"same": gap <= allowed, "loss_gap": gap, "loss_error": error, "loss_allowed": allowed}
