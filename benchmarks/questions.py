"""What the questions beside training share: the row they end in.

A question is a file with a ``measure(peers, rounds)``, to which the peers' interpreter is given, and which gives a
row, or several as its `rows`. A row says what was asked and what came:

    case, what        its name, and the sizes
    ours              the side of Sonde that counts
    sides             by name: {"seconds": median, "runs": [...], ...}, or {"missing": why}; `same`: whether the side
                      did the same as ours, by its losses or by what it answered
    best_peer, ratio  the fastest peer that did the same, and its seconds / ours
    wanted, met       the ratio that was aimed at (None: none was), and whether it was reached (None: no peer counts)
    ...               what the question adds, such as `holds`: what else must be so
"""

from __future__ import annotations

from benchmarks.turns import compare_losses


def row(case: str, what: str, sides: dict, ours: str, wanted: float | None, **more) -> dict:
    """The row of a question, see above; a side that is not called "sonde..." is a peer.

    Where `more` has `holds`, that must be so for the row to be met.
    """
    sides, peers = dict(sides), [name for name in sides if not name.startswith("sonde")]
    for name in peers:
        if "loss" in sides[name] and "loss" in sides[ours]:
            sides[name] = sides[name] | compare_losses(sides[ours]["loss"], sides[name]["loss"])
    count = [name for name in peers if "seconds" in sides[name] and sides[name].get("same", True)]
    best = min(count, key=lambda name: sides[name]["seconds"], default=None)
    ratio = sides[best]["seconds"] / sides[ours]["seconds"] if best and "seconds" in sides[ours] else None
    met = None if ratio is None or wanted is None else ratio >= wanted and more.get("holds", True)
    return {
        "case": case, "what": what, "ours": ours, "sides": sides, "best_peer": best, "ratio": ratio,
        "wanted": wanted, "met": met, **more,
    }  # fmt: skip
