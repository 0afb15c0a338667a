"""Runs a recipe at full size and writes what it reached into docs/results.json.

    python docs/record_results.py RECIPE [--set key=value]... [--seed N]

An entry replaces the one before it. It says how the recipe was set, what it measured, which targets it met, from
which seeds, on which machine, with which versions and at which commit, and holds a digest of the recipe's file,
by which the tests see that it has changed since.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import inspect
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")


def digest(name: str) -> str:
    """The SHA-256 of the file that a recipe is in."""
    from sonde.recipes import recipes

    return hashlib.sha256(Path(inspect.getfile(recipes()[name])).read_bytes()).hexdigest()


def stale() -> dict[str, str]:
    """Which entries do not belong to today's recipes, and why."""
    from sonde.recipes import recipes

    found, known = {}, recipes()
    for name, entry in json.loads(RESULTS.read_text()).items():
        if name not in known:
            found[name] = "there is no such recipe any more"
        elif entry["recipe_sha256"] != digest(name):
            found[name] = f"the recipe has changed since {entry['date']} ({entry['commit']})"
    return found


def machine() -> dict[str, Any]:
    """What computed: the processor, how many of its cores this process may use, and the accelerator if one did."""
    import jax

    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = jax.devices()[0]
    return {"cpu": model, "cores": cores} | ({} if device.platform == "cpu" else {"device": device.device_kind})


def commit() -> str:
    """The commit that is checked out, marked if files differ from it."""
    git = lambda *words: subprocess.run(["git", *words], capture_output=True, text=True, cwd=RESULTS.parent).stdout
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../src").strip()
    return git("rev-parse", "--short", "HEAD").strip() + ("+changes" if changed else "")


def entry(name: str, settings: dict[str, str], seed: int) -> dict[str, Any]:
    """Run a recipe, and say what came of it."""
    from sonde.folder import versions
    from sonde.recipes import cook, made

    recipe = made(name, settings)
    result = cook(recipe, seed, progress=True, pictures=False)
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}  # pyright: ignore[reportArgumentType]
    return {
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()},
        "metrics": result.metrics | ({"standard_deviations": result.errors} if result.errors else {}),
        "targets": result.targets,
        "outcome": result.outcome.words,
        "seconds": result.seconds,
        "seeds": [run.seed for run in result.runs],
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "recipe_sha256": digest(name),
    }


def main(words: list[str] | None = None) -> int:
    """Read the command line, run, write."""
    parser = argparse.ArgumentParser(prog="python docs/record_results.py", description="Runs a recipe at full size.")
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipe")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    settings = dict(setting.split("=", 1) for setting in given.set)
    made = entry(given.recipe, settings, given.seed)
    results = json.loads(RESULTS.read_text()) | {given.recipe: made}
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
    for target in made["targets"]:
        met = "met" if target["met"] else "missed"
        print(f"{target['name']} {target['wanted']:g}: reached {target['reached']:.6g}, {met}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
