"""A case, trained by all sides in turns: Sonde, the matrix products alone, a plain JAX loop, every peer in every mode.

Medians over the rounds are reported; of a peer's ways, the fastest (so the choice, too, favors the peer).
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import limits, ours
from benchmarks.cases import Case, arrays, flops
from benchmarks.peers import OURS, Missing, Process
from benchmarks.turns import Run, compare_losses, in_turns

PEERS = ("torch", "keras", "sklearn")


@dataclass(frozen=True)
class Peer:
    """A peer's script at one thread count, and in which modes it trains."""

    name: str
    process: Process
    threads: int
    modes: list[str]


@contextlib.contextmanager
def started(python: Path, threads: list[int]) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """The peers that run, in processes that stay for all cases, and of the others why they do not."""
    peers, missing = [], {}
    with contextlib.ExitStack() as stack:
        for name in PEERS:
            for n in threads if name == "torch" else [max(threads)]:
                own = OURS if name == "sklearn" else python  # scikit-learn is what Sonde depends on anyway
                process = stack.enter_context(Process(own, f"peer_{name}.py", OMP_NUM_THREADS=str(n)))
                try:
                    peers.append(Peer(name, process, **process.ask(hello=True, threads=n)))
                except Missing as error:
                    missing[name] = str(error)
        yield peers, missing


def measure(case: Case, peers: list[Peer], missing: dict, folder: Path, rounds: int) -> dict:
    """Run `case` on all sides in turns and return its row."""
    data, source = arrays(case)
    file = folder / f"{case.name}.npz"
    np.savez(file, **data)

    def asked(peer: Peer, mode: str) -> Run:
        what = {"case": dataclasses.asdict(case), "arrays": str(file), "mode": mode}
        return lambda r: peer.process.ask(**what, seed=r)

    sides: dict = {"sonde": lambda r: ours.train(case, data, r), "limit": lambda r: {"seconds": limits.seconds(case)}}
    if all(kind == "dense" for kind, *_ in case.layers):
        sides["hand_loop"] = lambda r: ours.hand_loop(case, data, r)
    sides |= {(peer.name, mode, peer.threads): asked(peer, mode) for peer in peers for mode in peer.modes}
    return row(case, source, in_turns(sides, rounds), missing)


def row(case: Case, source: str, found: dict, missing: dict) -> dict:
    """What the sides came to; those of peers are called (name, mode, threads)."""
    sonde, limit, loop = found["sonde"], found["limit"], found.get("hand_loop")
    peers = {}
    for name in PEERS:
        ways = {way: side for way, side in found.items() if way[0] == name}
        peers[name] = _best(ways, sonde, missing.get(name, "it cannot train this case"))
    there = {name: peer for name, peer in peers.items() if "seconds" in peer}
    best = min(there, key=lambda name: there[name]["seconds"], default=None)
    ratio = there[best]["ratio"] if best else None
    same = all(peer["same"] for peer in there.values()) if there else None
    return {
        "case": case.name,
        "what": case.what,
        "sonde_seconds": sonde["seconds"],
        "sonde_runs": sonde["runs"],
        "steps": case.steps,
        "data": source,
        "limit_seconds": limit["seconds"],
        "limit_gflops": flops(case) / limit["seconds"] / 1e9,
        "limit_fraction": limit["seconds"] / sonde["seconds"],
        "reference": {"hand_loop": _against(sonde, loop)} if loop else {},
        "peers": peers,
        "loss": {"sonde": statistics.mean(sonde["loss"])},
        "wanted": case.wanted,
        "best_peer": best,
        "ratio": ratio,
        "same_loss": same,
        "met": bool(ratio is not None and ratio >= case.wanted and same),
    }


def _best(ways: dict[tuple, dict], sonde: dict, missing: str) -> dict:
    """A peer's part of a row: the fastest of its ways, or why there is none."""
    ran = {way: side for way, side in ways.items() if "seconds" in side}
    if not ran:
        return {"missing": next((side["missing"] for side in ways.values()), missing)}
    best = min(ran, key=lambda way: ran[way]["seconds"])
    _, mode, threads = best
    tried = [
        {"mode": mode, "threads": threads, "seconds": side.get("seconds"), "note": side.get("missing")}
        for (_, mode, threads), side in ways.items()
    ]
    found = {**_against(sonde, ran[best]), "threads": threads, "mode": mode, "tried": tried}
    return found | {"loss": statistics.mean(ran[best]["loss"])} | compare_losses(sonde["loss"], ran[best]["loss"])


def _against(sonde: dict, other: dict) -> dict:
    """Median seconds and the ratio to Sonde's, with the smallest and largest ratio within a round."""
    ratios = [b / a for a, b in zip(sonde["runs"], other["runs"], strict=True)]
    return {
        "seconds": other["seconds"],
        "ratio": other["seconds"] / sonde["seconds"],
        "ratio_range": [min(ratios), max(ratios)],
        "runs": other["runs"],
    }
