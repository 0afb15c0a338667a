"""Measures Sonde beside its peers: python -m benchmarks [CASE...] [--json FILE].

All sides are measured in one call and in turns: each round runs every side once, with the same shuffling seed,
starting at another side each round. PyTorch and Keras live in an environment of their own; torch is never imported
here.

The cases train (`cases`, `training`); the questions ask something else, a file each: `search`, `predict`, `cold`,
`stream`, `growth`. Without names everything is measured. ``python -m benchmarks.search`` is that question alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the peers run on the CPU

from benchmarks import table, training  # noqa: E402
from benchmarks.cases import CASES  # noqa: E402
from benchmarks.machine import cores, header  # noqa: E402
from benchmarks.peers import interpreter  # noqa: E402
from benchmarks.turns import ROUNDS  # noqa: E402
from sonde.train import every_core  # noqa: E402

QUESTIONS = ("search", "predict", "cold", "stream", "growth")


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, show, write."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Sonde beside its peers.")
    known = [*CASES, *QUESTIONS]
    parser.add_argument("case", nargs="*", help=f"any of {', '.join(known)}; all where none is named")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write header and rows there")
    parser.add_argument("--peer-python", metavar="FILE", help="default: $SONDE_PEERS or .venv-peers/bin/python")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"timed runs a side (default {ROUNDS})")
    parser.add_argument("--threads", type=int, nargs="+", help="of PyTorch in cases (default 1, 2 and all cores)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.case if name not in known]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(known)}")
    asked = options.case or known
    if options.rounds < ROUNDS:
        parser.error(f"--rounds must be {ROUNDS} or more: fewer do not show the noise")
    threads = options.threads or [n for n in sorted({1, 2, cores()}) if n <= cores()]

    every_core()  # as `fit` does
    python = interpreter(options.peer_python)
    head, rows, answers = header(python, options.rounds), [], []
    cases = [name for name in asked if name in CASES]
    if cases:
        with (
            tempfile.TemporaryDirectory(prefix="sonde-benchmarks-") as folder,
            training.started(python, threads) as ran,
        ):
            for case in cases:
                print(f"measuring {case} ...", file=sys.stderr, flush=True)
                rows.append(training.measure(CASES[case], *ran, Path(folder), options.rounds))
    for question in (name for name in asked if name in QUESTIONS):
        print(f"measuring {question} ...", file=sys.stderr, flush=True)
        answers.append(importlib.import_module(f"benchmarks.{question}").measure(python, options.rounds))
    table.show(head, rows, answers)
    if options.json:
        options.json.write_text(json.dumps({"header": head, "rows": rows, "questions": answers}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
