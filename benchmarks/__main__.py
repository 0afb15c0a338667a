"""Measures Sonde beside its peers: python -m benchmarks [CASE...] [--json FILE].

All sides are measured in one call and in turns: each round runs, with the same shuffling seed, Sonde, the
matrix products alone, the plain JAX loop, and every peer in every mode and thread count, starting at another
side each round. Medians over the rounds are reported; of a peer's ways, the fastest (so the choice, too,
favors the peer). PyTorch and Keras live in an environment of their own; torch is never imported here.

The cases train (`cases`); the questions ask something else, a file each: `search`, `predict`, `cold`, `stream`,
`growth`. Without names everything is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the peers run on the CPU

from benchmarks import limits, ours  # noqa: E402
from benchmarks.cases import CASES, ROOT, Case, arrays, flops  # noqa: E402

MAKE_PEERS = "python3.11 -m venv .venv-peers && .venv-peers/bin/pip install torch==2.13.0 keras jax scikit-learn"
PEERS = ("torch", "keras", "sklearn")
QUESTIONS = ("search", "predict", "cold", "stream", "growth")
PATIENCE = 900  # seconds for one answer of a peer; compiling belongs to the first
SETTLE = 0.05  # seconds between runs, in which the last side's threads go to sleep


class PeerError(Exception):
    """A peer cannot be had, or failed."""


class NotThere(Exception):
    """A side that a case has not."""


class Peer:
    """A peer's script in a process of its own that stays for all cases, at one thread count."""

    def __init__(self, name: str, python: Path, threads: int, folder: Path):
        self.name = name
        env = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1", "OMP_NUM_THREADS": str(threads)}
        self._log = (folder / f"{name}-{threads}.log").open("w+")
        self._process = subprocess.Popen(
            [str(python), "-I", str(ROOT / "benchmarks" / f"peer_{name}.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=env,
        )  # fmt: skip
        try:
            self.about = self.ask(hello=True, threads=threads)
        except PeerError:
            self.close()
            raise

    def ask(self, **request) -> dict:
        late = threading.Timer(PATIENCE, self._process.kill)
        late.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late.cancel()
        if not line:
            self._log.seek(0)
            last = (self._log.read().strip().splitlines() or ["no answer"])[-1]
            raise PeerError(f"the process ended: {last}")
        answer = json.loads(line)
        if "none" in answer:
            raise NotThere(answer["none"])
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it may be gone already
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


class Side:
    """One thing that is timed: its runs so far, or why there are none."""

    def __init__(self, name, run, mode=None, threads=None):
        self.name, self.mode, self.threads, self._run = name, mode, threads, run
        self.seconds, self.losses, self.note, self.there = [], [], None, True

    def go(self, seed: int, keep: bool = True) -> None:
        if self.note:
            return
        time.sleep(SETTLE)
        try:
            seconds, loss = self._run(seed)
        except (PeerError, NotThere, NotImplementedError) as error:
            self.note, self.there, self.seconds, self.losses = str(error), isinstance(error, PeerError), [], []
            return
        if keep:
            self.seconds.append(seconds)
            self.losses.append(loss)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else math.inf


def find_peers(given: str | None) -> tuple[Path | None, str | None]:
    """Return the peers' interpreter, or why there is none."""
    asked = given or os.environ.get("SONDE_PEERS")
    python = Path(asked) if asked else ROOT / ".venv-peers" / "bin" / "python"
    if python.is_file():
        return python.absolute(), None  # not resolved: behind the link is another environment
    return None, f"no peer interpreter at {python}; make one: {MAKE_PEERS}"


def start_peers(python: Path | None, why: str | None, threads: list[int], folder: Path) -> tuple[list[Peer], dict]:
    """Return the peers that run, and of the others why they do not."""
    peers, missing = [], {}
    for name in PEERS:
        own = Path(sys.executable) if name == "sklearn" else python  # scikit-learn is what Sonde depends on anyway
        if own is None:
            missing[name] = why
            continue
        for n in threads if name == "torch" else [max(threads)]:
            try:
                peers.append(Peer(name, own, n, folder))
            except PeerError as error:
                missing[name] = f"{own.name}: {error}"
    return peers, missing


def measure(case: Case, peers: list[Peer], missing: dict, folder: Path, *, rounds: int) -> dict:
    """Run `case` on all sides in turns and return its row."""
    data, source = arrays(case)
    file = folder / f"{case.name}.npz"
    np.savez(file, **data)

    def peer_side(peer, mode):
        def run(seed):
            answer = peer.ask(case=dataclasses.asdict(case), arrays=str(file), mode=mode, seed=seed)
            return answer["seconds"], answer["loss"]

        return Side(peer.name, run, mode, peer.about["threads"])

    sonde = Side("sonde", lambda seed: ours.train(case, data, seed))
    limit = Side("limit", lambda seed: (limits.seconds(case), None))
    loop = Side("hand_loop", lambda seed: ours.hand_loop(case, data, seed))
    ways = [peer_side(p, mode) for p in peers for mode in p.about["modes"]]
    sides = [sonde, limit, loop, *ways]

    for side in sides:
        side.go(seed=0, keep=False)
    sides = [side for side in sides if side.there]
    for r in range(rounds):
        start = r * len(sides) // rounds
        for side in sides[start:] + sides[:start]:
            side.go(seed=1 + r)

    row = {
        "case": case.name,
        "what": case.what,
        "sonde_seconds": _finite(sonde.median),
        "sonde_runs": sonde.seconds,
        "steps": case.steps,
        "data": source,
        "limit_seconds": limit.median,
        "limit_gflops": flops(case) / limit.median / 1e9,
        "limit_fraction": limit.median / sonde.median if sonde.seconds else None,
        "reference": {"hand_loop": _against(sonde, loop)} if loop.seconds else {},
        "peers": {name: _best([s for s in ways if s.name == name], sonde, missing.get(name)) for name in PEERS},
        "loss": {"sonde": _mean(sonde.losses)},
        "wanted": case.wanted,
    }
    if sonde.note:
        row["note"] = sonde.note
    there = {name: peer for name, peer in row["peers"].items() if "seconds" in peer}
    row["best_peer"] = min(there, key=lambda name: there[name]["seconds"], default=None)
    row["ratio"] = there[row["best_peer"]]["ratio"] if there else None
    row["met"] = row["ratio"] is not None and row["ratio"] >= case.wanted
    agreed = [peer["same_loss"] for peer in there.values() if "same_loss" in peer]
    row["same_loss"] = all(agreed) if agreed else None
    return row


def _best(ways: list[Side], sonde: Side, missing: str | None) -> dict:
    """A peer's part of a row: the fastest of its ways, or why there is none."""
    best = min(ways, key=lambda side: side.median, default=None)
    if best is None or not best.seconds:
        failed = [way.note for way in ways if way.there] or [way.note for way in ways]
        return {"missing": missing or failed[0]}
    tried = [
        {"mode": s.mode, "threads": s.threads, "seconds": _finite(s.median), "note": s.note} for s in ways if s.there
    ]
    found = {**_against(sonde, best), "threads": best.threads, "mode": best.mode, "tried": tried}
    found["loss"] = _mean(best.losses)
    return found | (compare_losses(sonde.losses, best.losses) if sonde.seconds else {})


def compare_losses(a: list[float], b: list[float]) -> dict:
    """Say whether two sides' final losses have one mean, as far as shuffling lets one see.

    They may differ by 4 standard errors of the difference, plus a thousandth for rounding (a full batch is
    not shuffled, so has no standard error).
    """
    gap = abs(statistics.mean(a) - statistics.mean(b))
    error = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    allowed = 4 * error + 1e-3 * abs(statistics.mean(b))
    return {"same_loss": gap <= allowed, "loss_gap": gap, "loss_error": error, "loss_allowed": allowed}


def _against(sonde: Side, other: Side) -> dict:
    """Median seconds and the ratio to Sonde's, with the smallest and largest ratio within a round."""
    ratios = [b / a for a, b in zip(sonde.seconds, other.seconds, strict=False)]
    return {
        "seconds": other.median,
        "ratio": other.median / sonde.median if ratios else None,
        "ratio_range": [min(ratios), max(ratios)] if ratios else None,
        "runs": other.seconds,
    }


def _mean(losses: list[float]) -> float | None:
    return statistics.mean(losses) if losses else None


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def header(peers: list[Peer], rounds: int) -> dict:
    """Say what was measured where."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        names = [s for s in Path("/proc/cpuinfo").read_text().splitlines() if s.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    versions = {"python": platform.python_version()}
    for name in ("sonde", "jax", "jaxlib", "optax", "numpy"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    versions |= {peer.name: peer.about["version"] for peer in peers}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": model,
            "cores": cores(),
            "load": os.getloadavg()[0],
            "system": platform.platform(),
        },
        "versions": versions,
        "rounds": rounds,
        "meaning": {
            "seconds": "median of the training loops' wall time, warm",
            "ratio": "peer's seconds / Sonde's: above 1, Sonde is faster; ratio_range: within the rounds",
            "limit_fraction": "seconds of the matrix products alone / Sonde's seconds",
            "same_loss": "mean final losses differ by less than 4 standard errors + 0.1 %",
            "met": "the ratio to the fastest peer is at least the one that is wanted",
        },
    }


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show(head: dict, rows: list[dict], answers: list[dict]) -> None:
    """Print the rows as a table, and what is to say below it."""
    from rich.console import Console
    from rich.table import Table

    peers = [f"{name}, us" for name in PEERS]
    table = Table("case", "us a step", "of limit", *peers, "ratio (range)", "wanted", "loss")
    notes = []
    for row in rows:
        per_step, cells = 1e6 / row["steps"], []
        for name, peer in row["peers"].items():
            cells.append("none" if "missing" in peer else f"{_number(peer['seconds'], per_step)}\n{peer['mode']}")
            if "missing" in peer:
                notes.append(f"{row['case']}: no {name}: {peer['missing']}")
            else:
                notes += [
                    f"{row['case']}: {name} {w['mode']}, {w['threads']} threads: {w['note']}"
                    for w in peer["tried"] if w["note"]
                ]  # fmt: skip
                if "loss_gap" in peer:
                    notes.append(
                        f"{row['case']}: losses {row['loss']['sonde']:.4f} and, {name}, {peer['loss']:.4f} differ by "
                        f"{peer['loss_gap']:.2g}, {peer['loss_allowed']:.2g} allowed"
                    )
        ratio = "-"
        if row["ratio"]:
            low, high = row["peers"][row["best_peer"]]["ratio_range"]
            ratio = f"{row['ratio']:.2f} ({low:.2f}-{high:.2f})"
        same = {True: "same", False: "NOT the same", None: "-"}[row["same_loss"]]
        wanted = f"{row['wanted']:g}, {'met' if row['met'] else 'missed'}"
        ours = _number(row["sonde_seconds"], per_step)
        table.add_row(row["case"], ours, _percent(row["limit_fraction"]), *cells, ratio, wanted, same)
        notes.append(f"{row['case']}: {row['data']}; products alone: {row['limit_gflops']:.3g} GFLOP/s")
        for reference, timing in row["reference"].items():
            text = f"{row['case']}: {reference} (plain JAX) {_number(timing['seconds'], per_step)} us a step"
            notes.append(text + (f", ratio {timing['ratio']:.2f}" if timing["ratio"] else ""))
        if "note" in row:
            notes.append(f"{row['case']}: {row['note']}")
    machine, versions = head["machine"], head["versions"]
    title = f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']:.1f}; "
    title += ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    title += f"; {head['rounds']} rounds; {head['date']}"
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    console.print(title, markup=False)
    if rows:
        console.print(table)
    if answers:
        console.print(_answered(answers))
    for note in notes:
        console.print(note, markup=False)


def _answered(answers: list[dict]):
    """A table of what the questions came to (see `questions` for their rows)."""
    from rich.table import Table

    table = Table("question", "seconds", "ratio", "wanted", title="ratio: the fastest peer's seconds / ours")
    for answer in answers:
        for row in answer.get("rows", [answer]):
            if "sides" not in row:  # growth: powers, not seconds
                each = {kind: ", ".join(f"{k} {v:.2f}" for k, v in p.items()) for kind, p in row["powers"].items()}
                powers = [f"{kind}: {said}" for kind, said in each.items()]
                table.add_row(row["case"], "\n".join(powers), "-", f"powers up to {row['wanted']:g}")
                continue
            told = [
                f"{name}: {side['seconds']:.4g}" if "seconds" in side else f"{name}: none, {side['missing'][:60]}"
                for name, side in row["sides"].items()
            ]
            met = {True: "met", False: "missed", None: "no peer"}[row["met"]]
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
            table.add_row(row["case"], "\n".join(told), ratio, f"{row['wanted']:.3g}, {met}")
    return table


def _number(value: float | None, scale: float, digits: int = 1) -> str:
    return "-" if value is None else f"{value * scale:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, show, write."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Sonde beside its peers.")
    known = [*CASES, *QUESTIONS]
    parser.add_argument("case", nargs="*", help=f"any of {', '.join(known)}; all where none is named")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write header and rows there")
    parser.add_argument("--peer-python", metavar="FILE", help="default: $SONDE_PEERS or .venv-peers/bin/python")
    parser.add_argument("--rounds", type=int, default=7, help="timed runs a side, at least 5 (default 7)")
    parser.add_argument("--threads", type=int, nargs="+", help="of PyTorch (default 1, 2 and all cores)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.case if name not in known]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(known)}")
    asked = options.case or known
    if options.rounds < 5:
        parser.error("--rounds must be 5 or more: fewer do not show the noise")
    threads = options.threads or [n for n in sorted({1, 2, cores()}) if n <= cores()]

    with tempfile.TemporaryDirectory(prefix="sonde-benchmarks-") as name:
        folder, peers = Path(name), []
        try:
            python, why = find_peers(options.peer_python)
            peers, missing = start_peers(python, why, threads, folder)
            head, rows = header(peers, options.rounds), []
            for case in (name for name in asked if name in CASES):
                print(f"measuring {case} ...", file=sys.stderr, flush=True)
                rows.append(measure(CASES[case], peers, missing, folder, rounds=options.rounds))
        finally:
            for peer in peers:
                peer.close()
    answers = []
    for question in (name for name in asked if name in QUESTIONS):
        print(f"measuring {question} ...", file=sys.stderr, flush=True)
        answers.append(importlib.import_module(f"benchmarks.{question}").measure(python))
    show(head, rows, answers)
    if options.json:
        options.json.write_text(json.dumps({"header": head, "rows": rows, "questions": answers}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
