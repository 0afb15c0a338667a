"""The table that is printed, and what is to say below it."""

from __future__ import annotations

import sys

from benchmarks.training import PEERS

MET = {True: "met", False: "missed", None: "no peer counts"}


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
                notes.append(
                    f"{row['case']}: losses {row['loss']['sonde']:.4f} and, {name}, {peer['loss']:.4f} {_differ(peer)}"
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
    machine = head["machine"]
    title = f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']:.1f}; "
    for name, side in (("Sonde", "versions"), ("peers", "peer_versions")):
        title += f"{name}: " + ", ".join(f"{name} {version}" for name, version in head[side].items()) + "; "
    title += f"{head['rounds']} rounds; {head['date']}"
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
                powers = "\n".join(f"{kind}: {said}" for kind, said in each.items())
                table.add_row(row["case"], powers, "-", f"powers up to {row['wanted']:g}, {MET[row['met']]}")
                continue
            told = [f"{name}: {_side(side)}" for name, side in row["sides"].items()]
            told += [f"({row['condition']}: {'yes' if row['holds'] else 'NO'})"] if "holds" in row else []
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
            wanted = "-" if row["wanted"] is None else f"{row['wanted']:.3g}, {MET[row['met']]}"
            table.add_row(row["case"], "\n".join(told), ratio, wanted)
    return table


def _side(side: dict) -> str:
    """Seconds of a side of a question, and whether it did the same."""
    if "missing" in side:
        return f"none, {side['missing'][:60]}"
    gap = f": losses {_differ(side)}" if "loss_gap" in side else ""
    return f"{side['seconds']:.4g}" + ("" if side.get("same", True) else f", does not count, NOT the same{gap}")


def _differ(side: dict) -> str:
    return f"differ by {side['loss_gap']:.2g}, {side['loss_allowed']:.2g} allowed"


def _number(value: float | None, scale: float, digits: int = 1) -> str:
    return "-" if value is None else f"{value * scale:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
