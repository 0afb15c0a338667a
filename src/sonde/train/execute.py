"""Running a plan: dispatch after dispatch of about 0.3 s, so that progress, Ctrl-C and checkpoints stay alive.

How much is in a dispatch decides nothing: the same program runs, so the bits are the same. Where the training
data is a stream, a dispatch also ends where the chunk on the device is used up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from sonde._random import derive, root
from sonde._store import cache_folder
from sonde.nn.mistakes import tidy
from sonde.nn.network import Network
from sonde.train import checkpoint
from sonde.train.control import Outcome, TimeBudget
from sonde.train.feed import Feed, is_stream
from sonde.train.parallel import among, chosen, cores, everywhere, here, worth
from sonde.train.plan import Phase, Plan
from sonde.train.record import Record, numbers
from sonde.train.step import ENDLESS, Data, Engine, Progress, Vars, advance, grown, known, start

CAPACITY = 256
"""Rounds between two looks of the host at the history."""

DISPATCH_SECONDS = 0.3


@dataclasses.dataclass(frozen=True)
class Dispatch:
    """What an observer is told after each dispatch.

    Attributes:
        phase: the number of the phase, from 0, of ``phases``.
        step: updates done in it, of at most ``total``.
        epoch: the same in epochs.
        seconds: spent in this phase so far.
        report: the last round's numbers by name; empty before the first.
        outcome: RUNNING, or how the phase ended.
        history: all rounds of this phase so far, as `Record.history` has them; a dispatch may close several.
    """

    phase: int
    phases: int
    step: int
    total: int
    epoch: float
    seconds: float
    report: dict[str, float]
    outcome: Outcome
    history: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


Observer = Callable[[Dispatch], None]


def execute(
    network: Network,
    plan: Plan,
    data: Data,
    seed: int = 0,
    *,
    observer: Observer | None = None,
    checkpoints: Path | None = None,
    checkpoint_seconds: float = 5.0,
    dispatch_seconds: float = DISPATCH_SECONDS,
    look_up: bool = True,
) -> tuple[Network, list[Record]]:
    """Run every phase of a prepared plan.

    Args:
        network: a spec, with variables to start from if it has any.
        plan: what to do; told about the data already (`Plan.prepare`).
        data: columns by split, on the device; ``train`` may be a stream, of which a chunk at a time is on it.
        seed: everything random follows from it.
        observer: called after each dispatch.
        checkpoints: a file to write where the run stands; it is read first if it is there.
        checkpoint_seconds: at most so often.
        dispatch_seconds: what a dispatch is meant to take.
        look_up: whether outputs of what rests are computed once and looked up; never of a stream.

    Returns:
        The network handed on by the last phase, and a record a phase.

    Raises:
        ArgumentError: the training data is a stream, and a phase needs more than a chunk of it at a time.
    """
    with compilation_cache(), interruptible() as interrupted:
        began = time.perf_counter()
        network = grown(network, plan, _example(plan, data), seed)
        key = root(seed)
        variables = Vars(network.params, network.state)
        records, stored = checkpoint.load(checkpoints) if checkpoints and checkpoints.exists() else ([], None)
        for i in range(max(0, len(records) - 1), len(plan.phases)):
            if stored is None:
                records.append(Record())
            loop = _Loop(network.spec, plan.phases[i], data, records[-1])
            with contextlib.closing(loop):
                loop.begin(variables, _derived(key, np.uint32(i)), stored, look_up)
                loop.record.compile_seconds += time.perf_counter() - began
                saved = time.perf_counter()
                while loop.record.outcome == Outcome.RUNNING:
                    loop.dispatch(dispatch_seconds)
                    stopped = loop.record.outcome == Outcome.RUNNING and interrupted.is_set()
                    due = loop.record.outcome != Outcome.RUNNING or time.perf_counter() - saved > checkpoint_seconds
                    if checkpoints is not None and (stopped or due):
                        checkpoint.save(checkpoints, records, loop.progress)
                        saved = time.perf_counter()
                    if stopped:  # after saving: a resumed run goes on from there
                        loop.record.outcome = Outcome.INTERRUPTED
                    if observer is not None:
                        observer(_told(i, len(plan.phases), loop.record))
            variables, stored = here(loop.progress.kept), None
            if loop.record.outcome in (Outcome.DIVERGED, Outcome.INTERRUPTED):
                break
            began = time.perf_counter()
    return Network(network.spec, variables.params, variables.state), records


def _example(plan: Plan, data: Data) -> Data:
    """The data, or where it is a stream a few rows of it: of what makes a network, only shapes matter."""
    train: Any = data["train"]
    rows = max(getattr(p.batch, "size", 1) for p in plan.phases)
    return {**data, "train": train.head(rows)} if is_stream(train) else data


_derived = jax.jit(derive)
"""In one program: operation by operation it compiles fifteen."""


def _told(phase: int, phases: int, record: Record) -> Dispatch:
    return Dispatch(
        phase,
        phases,
        record.steps,
        record.total,
        record.epochs,
        record.train_seconds,
        numbers(record.history),
        record.outcome,
        record.history,
    )


@dataclasses.dataclass
class _Loop:
    """One phase, dispatch after dispatch."""

    spec: Any
    phase: Phase
    data: Data
    record: Record
    mesh: Mesh | None = None
    progress: Progress = None  # pyright: ignore[reportAssignmentType]
    empty: Any = None  # 0 on the device: of a history that was read
    steps: float = 0.0
    feed: Feed | None = None

    def begin(self, variables: Vars, key: Any, stored: dict[str, np.ndarray] | None, look_up: bool) -> None:
        """Start the phase, or go on from what is stored, and have the program ready."""
        if is_stream(self.data["train"]):
            self.feed = Feed(self.data["train"], self.phase, key)
            self.phase, look_up = self.feed.phase, False
            self.data = {**self.data, "train": self.feed.like}
        self.record.per_epoch, self.record.total = lengths(self.phase, self.data)
        if stored is not None:
            like = jax.eval_shape(lambda *a: start(*a, CAPACITY), self.spec, self.phase, self.data, variables, key)
            self.progress = checkpoint.restore(like, stored)
            variables = self.progress.state.vars  # what rests is what it was when the phase began
        self._fed(0 if stored is None else int(self.progress.state.step))
        self._arrange(variables, stored is not None)
        if look_up and len(self.record.trained) < len(variables.params):
            self.data = _looked_up(self.spec, self.phase, self.data, variables)
        if stored is None:
            self.progress = tidy(start, self.spec, self.phase, self.data, variables, key, CAPACITY)
        self.data, self.progress = everywhere(self.data, self.mesh), everywhere(self.progress, self.mesh)
        self.empty = self.progress.filled
        # going on to where one stands compiles the program and does nothing else
        jax.block_until_ready(tidy(advance, self.spec, self.phase, self.data, self.progress, np.int32(0), self.mesh))

    def _arrange(self, variables: Vars, resumed: bool) -> None:
        """Find out what trains, and on how many devices: on as many as before, where a run goes on."""
        engine = tidy(Engine, self.spec, self.phase, self.data, variables)
        self.record.trained = tuple(sorted(engine.trained))
        numbers = sum(variables.params[path].size for path in engine.trained)
        asked = min(self.record.devices, jax.local_device_count()) if resumed else self.phase.devices
        work = engine.rows, engine.operations, numbers, engine.loops
        self.record.devices = chosen(asked, *work)
        self.record.cores = worth(cores(), *work) if asked is None else self.record.devices
        self.mesh = among(self.record.devices)

    def _fed(self, step: int) -> int:
        """Have on the device what ``step`` draws from; the step up to which that lasts.

        A round that ends with a chunk is closed while the chunk is there: its probes see rows of that one.
        """
        if self.feed is None:
            return ENDLESS
        self.data = {**self.data, "train": {}}  # let go of the chunk before
        columns, end = self.feed.at(step, self.record.total)
        self.data = {**self.data, "train": everywhere(columns, self.mesh)}
        return end

    def close(self) -> None:
        """Stop reading."""
        if self.feed is not None:
            self.feed.close()

    def dispatch(self, seconds: float) -> None:
        """Go on for about so long, and see how things stand."""
        began, before = time.perf_counter(), self.progress
        self.steps = self.steps or first_steps(self.phase, self.data, self.progress.state.vars.params, seconds)
        step = self.record.steps
        until = min(step + max(1, int(self.steps)), self._fed(step))
        self.steps, ready = min(self.steps, max(1, until - step)) if self.feed else self.steps, time.perf_counter()
        self.progress = jax.block_until_ready(self._onward(before, until))
        self._read()
        spent = time.perf_counter() - began
        self.record.train_seconds += spent
        fitting = self.steps * seconds / max(time.perf_counter() - ready, 1e-6)
        self.steps = min(max(fitting, self.steps / 4, 1), 64 * self.steps, ENDLESS)
        budget = min([c.seconds for c in self.phase.control if isinstance(c, TimeBudget)], default=float("inf"))
        if self.record.outcome == Outcome.RUNNING and self.record.train_seconds > budget:
            self.record.outcome = Outcome.OUT_OF_TIME
        if self.record.outcome == Outcome.DIVERGED:
            self.record.blame = self._blame(before)

    def _onward(self, progress: Progress, until: int) -> Progress:
        return advance(self.spec, self.phase, self.data, progress, np.int32(until), self.mesh)

    def _read(self) -> None:
        """Move the history to the host, and note how things stand."""
        p, record = self.progress, self.record
        outcome, filled, step = (int(np.asarray(v)) for v in (p.outcome, p.filled, p.state.step))
        record.outcome, record.steps = Outcome(outcome), step
        if filled:
            record.extend({k: np.asarray(h)[:filled] for k, h in p.history.items()})
            self.progress = p._replace(filled=self.empty)

    def _blame(self, before: Progress) -> str:
        """Where the first number that is not finite appears: the same steps once more, up to the bad one."""
        p, bad = before, int(self.progress.bad)
        while int(p.state.step) < bad and int(p.outcome) == Outcome.RUNNING:
            p = self._onward(p._replace(filled=self.empty), bad)
        if int(p.state.step) != bad:
            return ""
        data, p = here((self.data, p))
        return Engine(self.spec, self.phase, data, p.state.vars).blame(p.state, p.key)


def first_steps(phase: Phase, data: Data, params: dict[str, Any], seconds: float) -> float:
    """Steps of the first dispatch, before anything was timed: at least 16, and more where they are surely short.

    A step multiplies each number of a minibatch by each parameter at most, forward and twice backward, and the
    slowest machine does a billion of those a second; beside them it does little that takes 20 us. An objective may do
    more, so these are 512 at most.
    """
    columns = jax.tree.leaves(dict(data["train"]))
    rows = min(getattr(phase.batch, "size", columns[0].shape[0]), columns[0].shape[0])
    numbers = rows * sum(c.size // c.shape[0] for c in columns)
    work = 3 * numbers * sum(p.size for p in params.values()) * max(t.repeats for t in phase.turns)
    return min(max(16.0, seconds / (2e-5 + 1e-9 * work)), 512.0)


def lengths(phase: Phase, data: Data) -> tuple[int, int]:
    """Steps in an epoch, and in the whole phase at most."""
    repeats = max(t.repeats for t in phase.turns)
    per_epoch = -(-int(phase.batch.per_epoch(data["train"])) // repeats)
    return per_epoch, int(phase.steps) or int(phase.epochs) * per_epoch


def _looked_up(spec: Any, phase: Phase, data: Data, variables: Vars, chunk: int = 4096) -> Data:
    """The data, with what the resting part makes of each row as further columns."""
    wide: Data = {}
    for split, columns in data.items():
        each, rows = dict(columns), jax.tree.leaves(dict(columns))[0].shape[0]
        if not tidy(jax.eval_shape, lambda c: known(spec, phase, data, variables, c), each):
            return data
        parts = [
            known(spec, phase, data, variables, jax.tree.map(lambda a, at=at: a[at : at + chunk], each))
            for at in range(0, rows, chunk)
        ]
        found = {k: jnp.concatenate([part[k] for part in parts]) for k in parts[0]}
        some = jnp.asarray(np.random.default_rng(0).permutation(rows)[: min(rows, 64)])
        again = known(spec, phase, data, variables, jax.tree.map(lambda a, some=some: a[some], each))
        for name, values in found.items():
            if not np.allclose(values[some], again[name], rtol=1e-4, atol=1e-5):
                return data  # what rests sees other rows too, so its outputs are no property of a row
        wide[split] = columns | found
    return wide


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets an event instead of raising; a second one raises as ever. Only in the main thread.

    Where it is ignored (a job in the background), it stays so. One that is raised where Python can only report
    it (inside a callback of the garbage collector, say) is not reported: the event is set already.
    """
    event = threading.Event()
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield event
        return

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    report = sys.unraisablehook

    def unraisable(raised: Any) -> None:
        if not issubclass(raised.exc_type, KeyboardInterrupt):
            report(raised)

    usual, sys.unraisablehook = signal.signal(signal.SIGINT, note), unraisable
    try:
        yield event
    finally:
        sys.unraisablehook = report
        signal.signal(signal.SIGINT, usual)


@contextlib.contextmanager
def compilation_cache() -> Iterator[None]:
    """JAX's persistent compilation cache for our programs, in the user's cache folder, unless one is set.

    ``SONDE_COMPILATION_CACHE=0`` turns it off. JAX's settings are as they were when this is left.
    """
    from jax.experimental.compilation_cache import compilation_cache as cache

    if getattr(jax.config, "jax_compilation_cache_dir", None) or os.environ.get("SONDE_COMPILATION_CACHE", "1") == "0":
        yield
        return
    settings = {
        "jax_compilation_cache_dir": str(cache_folder() / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.2,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    usual = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    cache.reset_cache()
    try:
        yield
    finally:
        for name, value in usual.items():
            jax.config.update(name, value)
        cache.reset_cache()
