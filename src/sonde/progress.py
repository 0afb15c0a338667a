"""Progress for people: a bar in a terminal, plain lines elsewhere. What cannot be shown stops no run."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

from sonde.train import Dispatch, Outcome
from sonde.train.record import in_words


class Bar:
    """A bar with the rate of steps, the losses and the time left. An observer; close it at the end.

    What a narrow terminal has no room for is left out.
    """

    def __init__(self, title: str = "training", console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._console = console or Console(stderr=True)
        width = 24 if self._console.width >= 120 else 10
        words = TextColumn("{task.description}", table_column=Column(no_wrap=True), markup=False)
        self._progress = Progress(BarColumn(width), words, console=self._console, transient=True)
        self._title, self._room = title, self._console.width - width - 2
        self._phase, self._task = -1, self._progress.add_task(f"{title}: compiling", total=None)
        self._progress.start()

    def __call__(self, d: Dispatch) -> None:
        """Show where the run stands."""
        name = self._title if d.phases == 1 else f"{self._title} {d.phase + 1}/{d.phases}"
        epoch = f"epoch {in_words(d.epoch)}" + (f"/{in_words(d.epoch * d.total / d.step)}" if d.step else "")
        losses = _losses(d, digits=3)
        shown = [name, epoch, *losses, _rate(d), _left(d)]
        needed = [epoch, _left(d), *losses[:1], _rate(d), *losses[1:], name]
        words = self._fitting(shown, needed)
        if d.phase != self._phase:
            self._progress.remove_task(self._task)
            self._phase, self._task = d.phase, self._progress.add_task(words, total=d.total)
        self._progress.update(self._task, completed=d.step, description=words)

    def _fitting(self, shown: list[str], needed: list[str]) -> str:
        """As many of the words as there is room for, those first that are needed most."""
        chosen: list[str] = []
        for word in needed:
            if len("  ".join([*chosen, word])) <= self._room:
                chosen.append(word)
        return "  ".join(word for word in shown if word and word in chosen)

    def say(self, words: str) -> None:
        """A line above the bar, which stays."""
        with contextlib.suppress(OSError):
            self._console.print(f"{self._title}: {words}", markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        with contextlib.suppress(OSError):
            self._progress.stop()


class Lines:
    """A plain line every few seconds and at the end of a phase. An observer."""

    def __init__(self, title: str = "training", every: float = 2.0, file: Any = None) -> None:
        self._title, self._every, self._file, self._last = title, every, file, float("-inf")

    def __call__(self, d: Dispatch) -> None:
        """Print where the run stands, now and then."""
        now = time.perf_counter()
        ended = d.outcome != Outcome.RUNNING
        if not ended and now - self._last < self._every:
            return
        self._last = now
        phase = "" if d.phases == 1 else f" phase {d.phase + 1}/{d.phases}"
        end = d.outcome.words if ended else ""
        parts = (f"epoch {in_words(d.epoch)}", f"step {d.step}/{d.total}", _rate(d), *_losses(d), _left(d), end)
        self._print(f"{self._title}{phase}: {', '.join(filter(None, parts))}")

    def say(self, words: str) -> None:
        """A line of its own."""
        self._print(f"{self._title}: {words}")

    def _print(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            print(line, file=self._file or sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to take away."""


def watcher(title: str, lines: bool = True) -> Bar | Lines | None:
    """A bar where there is a terminal, else lines, or nothing if ``lines`` is False."""
    if sys.stderr is not None and sys.stderr.isatty():
        from rich.console import Console

        console = Console(stderr=True)
        return Lines(title) if console.is_dumb_terminal else Bar(title, console)
    return Lines(title) if lines and sys.stderr is not None else None


def _rate(d: Dispatch) -> str:
    return f"{d.step / d.seconds:,.0f} steps/s" if d.seconds > 0 else ""


def _left(d: Dispatch) -> str:
    """How long the rest would take: it may end early."""
    if d.outcome != Outcome.RUNNING or not d.step or d.step >= d.total:
        return ""
    seconds = round(d.seconds * (d.total - d.step) / d.step)
    hours, minutes = seconds // 3600, f"{seconds // 60 % 60}:{seconds % 60:02}"
    return f"at most {hours}:{minutes:0>5} left" if hours else f"at most {minutes} left"


def _losses(d: Dispatch, digits: int = 4) -> list[str]:
    shown = [k for k in ("train/loss", "valid/loss", "valid/error") if k in d.report]
    shown = shown or [k for k in d.report if k.endswith("/loss")][:4]  # several turns, each with a name
    return [f"{k.replace('/', ' ')} {d.report[k]:.{digits}g}" for k in shown]
