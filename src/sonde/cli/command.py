"""The ``sonde`` command: its commands, and how it ends when something goes wrong."""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import cyclopts

from sonde._errors import SondeError
from sonde.cli.artifacts import evaluate, inspect, predict
from sonde.cli.recipes import recipes
from sonde.cli.runs import explain, resume, train
from sonde.cli.terminal import ENDED, INTERRUPTED, MISTAKE, OUR_FAULT, note, say

app = cyclopts.App(
    name="sonde", help="Train deep networks, see what happened, use them again.", suppress_keyboard_interrupt=False
)
for command in (train, resume, explain, predict, evaluate, inspect, recipes):
    app.command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a command and exits with its status."""
    try:
        with _every_interrupt_lands():
            status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
            say("", end="")
    except cyclopts.UnusedCliTokensError as error:
        left = " ".join(error.unused_tokens or ())
        status = _complain(
            f"{left} is more than `sonde {' '.join(error.command_chain or ())}` takes: one thing to work on, and "
            "options such as --target price or --set epochs=5 (--help says what there is)"
        )
    except cyclopts.CycloptsError as error:
        command = " ".join(("sonde", *(error.command_chain or ()), "--help"))
        status = _complain(f"{' '.join(str(error).split())} ({command} says what there is)")
    except SondeError as error:
        status = _complain("\n".join([str(error), *getattr(error, "__notes__", [])]))
    except KeyboardInterrupt:
        note("interrupted")
        status = INTERRUPTED
    except Exception as error:
        import traceback

        note("".join(traceback.format_exception(error)), title="")
        note(f"this is our fault, not yours ({type(error).__name__}); please report it")
        status = OUR_FAULT
    if status == INTERRUPTED and arguments is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is on its way out
    sys.exit(status if isinstance(status, int) else ENDED)


def _complain(message: str) -> int:
    note(message)
    return MISTAKE


@contextlib.contextmanager
def _every_interrupt_lands() -> Iterator[None]:
    """A Ctrl-C that Python could only report (raised in a callback of the garbage collector) is raised again."""
    report, here = sys.unraisablehook, threading.get_ident()

    def again() -> None:
        if hasattr(signal, "pthread_kill"):  # it wakes one who sleeps, too
            signal.pthread_kill(here, signal.SIGINT)
        else:
            _thread.interrupt_main()

    def unraisable(raised: Any) -> None:
        if issubclass(raised.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, again).start()
        else:
            report(raised)

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = report
