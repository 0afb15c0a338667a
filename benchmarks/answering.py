"""How a peer talks with the harness: a JSON request a line in, a JSON answer a line out.

The process stays, so that the harness can take its runs in turns with the other sides. What it is asked is up to the
two; of a case it is

    {"hello": true, "threads": 2}                                    -> {"threads": 2, "modes": [...]}
    {"case": {...}, "arrays": "a.npz", "mode": "eager", "seed": 3}   -> {"seconds": 0.2, "loss": 0.1}

A request that fails answers {"error": "..."}, one for a mode that a case has not {"none": "..."}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import numpy as np

Answer = Callable[[dict], dict]


class NoSuchMode(Exception):
    """The peer cannot train this case in this mode."""


def serve(answer: Answer) -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a peer or a compiler prints must not mix with the answers
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except NoSuchMode as error:
            told = {"none": str(error)}
        except Exception as error:  # the harness says it in the row
            told = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        print(json.dumps(told), file=answers, flush=True)


def cases(hello: Callable[[int], dict], trainer: Callable, forget: Callable[[], None] = lambda: None) -> Answer:
    """Train: ``trainer(case, arrays, mode).run(seed)`` gives seconds and loss, and stays as long as its case does."""
    known, trainers = None, {}

    def answer(request: dict) -> dict:
        nonlocal known
        if request.get("hello"):
            return hello(request["threads"])
        if request["case"] != known:
            known = request["case"]
            trainers.clear()
            forget()
        mode = request["mode"]
        if mode not in trainers:
            with np.load(request["arrays"]) as arrays:
                trainers[mode] = trainer(known, dict(arrays), mode)
        seconds, loss = trainers[mode].run(request["seed"])
        return {"seconds": seconds, "loss": loss}

    return answer
