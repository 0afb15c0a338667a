"""How a peer talks with the harness: a JSON request a line in, a JSON answer a line out.

    {"hello": true, "threads": 2}                                    -> {"threads": 2, "modes": [...], ...}
    {"case": {...}, "arrays": "a.npz", "mode": "eager", "seed": 3}   -> {"seconds": 0.2, "loss": 0.1}

A request that fails answers {"error": "..."}, one for a mode that a case has not {"none": "..."}. The process stays, so
that the harness can take its runs in turns with the other sides; a trainer stays as long as its case does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import numpy as np


class NoSuchMode(Exception):
    """The peer cannot train this case in this mode."""


def serve(hello: Callable[[int], dict], trainer: Callable, forget: Callable[[], None] = lambda: None) -> None:
    """Answer until the input ends: ``trainer(case, arrays, mode).run(seed)`` gives seconds and loss."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a peer or a compiler prints must not mix with the answers
    known, trainers = None, {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request.get("hello"):
                answer = hello(request["threads"]) | {"python": sys.version.split()[0]}
            else:
                if request["case"] != known:
                    known, trainers = request["case"], {}
                    forget()
                mode = request["mode"]
                if mode not in trainers:
                    with np.load(request["arrays"]) as arrays:
                        trainers[mode] = trainer(known, dict(arrays), mode)
                seconds, loss = trainers[mode].run(request["seed"])
                answer = {"seconds": seconds, "loss": loss}
        except NoSuchMode as error:
            answer = {"none": str(error)}
        except Exception as error:  # the harness says it in the row
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        print(json.dumps(answer), file=answers, flush=True)
