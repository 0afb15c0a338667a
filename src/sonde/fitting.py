"""`fit` and `resume`: from a network, data and a plan to a `Run`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sonde._errors import ArgumentError, FormatError, ResumeError, SondeError, known_options, shape_of
from sonde._random import checked_seed
from sonde._store import read_json
from sonde._value import from_json
from sonde.artifact import load
from sonde.data import Augmented, Dataset
from sonde.data.sampling import as_sampler
from sonde.data.stream import placed
from sonde.decisions import decisions
from sonde.folder import FILES, OUTCOMES, begin, described, finished, read_history
from sonde.nn import Layer, Network
from sonde.nn.network import as_network
from sonde.progress import Lines, watcher
from sonde.run import Run
from sonde.tracking import Tracker
from sonde.train import KeepBest, Observer, Outcome, Phase, Plan, Record, Turn, as_controllers, execute
from sonde.train.checkpoint import load_variables
from sonde.train.memory import available, estimate
from sonde.train.parallel import every_core


@known_options
def fit(
    network: Layer | Network,
    data: Dataset | tuple,
    objective: Any = None,
    optimizer: Any = None,
    *,
    plan: Plan | None = None,
    epochs: int = 0,
    steps: int = 0,
    batch: Any = 32,
    augment: Any = (),
    every: int = 0,
    control: Any = None,
    probes: Any = (),
    average: Any = None,
    precision: str = "float32",
    devices: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | str | None = None,
    observer: Observer | tuple[Observer, ...] | None = None,
    about: dict[str, Any] | None = None,
    checkpoint_seconds: float = 5.0,
) -> Run:
    """Train a network.

    Args:
        network: a spec, such as ``nn.Sequential(hidden=nn.Dense(300, nn.relu), head=nn.Dense(10))``, or a
            network to go on from.
        data: a `Dataset`, or ``(x, y)``, which is split.
        objective: what to minimize, such as ``Classify() + L2(1e-4)``.
        optimizer: how, such as ``Adam(1e-3)``.
        plan: instead of an objective and an optimizer, phases of them.
        epochs: how long at most, in epochs; or
        steps: in steps.
        batch: rows in a minibatch, or a sampler.
        augment: what changes training rows each time they are drawn, such as ``data.Shift(2)``; or a tuple of such.
        every: steps in a round, at whose end the network is judged (0: an epoch).
        control: controllers, such as ``Patience(5)``. Without one, the network of the best validation loss is
            kept if there is a validation split, else the last one.
        probes: what else to measure each round.
        average: averaged weights that are judged, kept and handed on, such as ``EMA(0.999)``.
        precision: of the products in a training step, ``"float32"`` or ``"bfloat16"``, see `Phase`.
        devices: among how many devices minibatches are shared; None to choose. Cores of a CPU are devices.
        seed: everything random follows from it: the same seed gives the same bits on the same machine.
        out: a folder for checkpoints, the artifact and the report; `resume` goes on from it.
        progress: whether to show progress, perhaps under a title; None: if there is a terminal.
        observer: called after each dispatch, about three times a second; or a tuple of such, such as
            ``sonde.tracking.TensorBoard("runs/first")``.
        about: plain data to keep with the run.
        checkpoint_seconds: how often to write where the run stands, if ``out`` is given.

    Returns:
        A `Run`. It is returned, and not lost, when the run diverges or is interrupted.

    Example:
        >>> import sonde as sd
        >>> from sonde import nn
        >>> data = sd.data.load("digits")
        >>> net = nn.Sequential(nn.Flatten(), nn.Scale(1 / 16), hidden=nn.Dense(32, nn.relu), head=nn.Dense(10))
        >>> run = sd.fit(net, data, sd.Classify(), sd.Adam(1e-2), epochs=5, batch=64)
        >>> run.outcome.words, bool(run.evaluate("test")["accuracy"].value > 0.9)
        ('finished', True)
    """
    if isinstance(network, Dataset):
        raise ArgumentError("the network comes first, then the data: fit(network, data, ...)")
    every_core()
    data, net, seed = as_dataset(data), as_network(network), checked_seed(seed)
    if plan is None:
        if objective is None or optimizer is None:
            raise ArgumentError("fit needs an objective and an optimizer, such as Classify() and Adam(1e-3), or a plan")
        if control is None:
            control = KeepBest() if data.valid is not None else ()
        turn = Turn(objective, optimizer)
        drawn = Augmented(batch, augment) if augment != () else as_sampler(batch)
        phase = Phase(turn, drawn, epochs, steps, every, as_controllers(control), probes, average, precision, devices)
        plan = Plan((phase,))
    elif objective is not None or optimizer is not None:
        raise ArgumentError("fit takes a plan, or an objective and an optimizer; got both")
    elif precision != "float32" or devices is not None:
        name = "devices" if precision == "float32" else "precision"
        raise ArgumentError(f"a plan says its {name} itself: Phase(turn, ..., {name}=...)")
    elif augment != ():
        raise ArgumentError("a plan says itself what is augmented: Phase(turn, data.Augmented(32, ...), ...)")
    folder = None if out is None else Path(out)
    if folder is not None:
        begin(folder, net, plan, seed, data, about or {})
    try:
        return _carry_out(net, data, plan, seed, folder, progress, observer, checkpoint_seconds)
    except Exception:  # what came to nothing leaves nothing, so that it can begin here again once it is mended
        if folder is not None and not (folder / FILES["checkpoint"]).exists():
            for name in ("run", "start"):
                (folder / FILES[name]).unlink(missing_ok=True)
        raise


def resume(
    folder: str | Path,
    data: Dataset | tuple,
    *,
    progress: bool | str | None = None,
    observer: Observer | tuple[Observer, ...] | None = None,
    checkpoint_seconds: float = 5.0,
) -> Run:
    """Go on with a run from where its folder says it stands; on the same machine it ends with the same bits.

    Args:
        folder: what was given to `fit` as ``out``.
        data: the same data.
        progress: as for `fit`.
        observer: as for `fit`.
        checkpoint_seconds: as for `fit`.

    Returns:
        The run. One that has ended is read from its folder, which stays as it is.

    Raises:
        ResumeError: there is no run, the data is not the same, something in the folder is damaged, or another
            version of Sonde wrote it.
    """
    every_core()
    folder, data = Path(folder), as_dataset(data)
    description = described(folder)
    if data.fingerprint != description["fingerprint"]:
        raise ResumeError(
            f"the data is not what the run in {folder} began with; give it that data, or start a new run with this"
        )
    try:
        network, plan = as_network(from_json(description["spec"])), from_json(description["plan"])
        seed = checked_seed(description["seed"])
        if not isinstance(plan, Plan):
            raise FormatError("its plan is no plan")
    except (SondeError, KeyError, TypeError) as error:
        raise ResumeError(f"{folder / FILES['run']} does not describe a run of this Sonde: {error}") from None
    if finished(folder):
        return _ended(folder, plan, seed, data)
    if description.get("started"):
        network = load_variables(folder / FILES["start"], network)
    return _carry_out(network, data, plan, seed, folder, progress, observer, checkpoint_seconds)


def _ended(folder: Path, plan: Plan, seed: int, data: Dataset) -> Run:
    """A run that has ended, from what it left."""
    report, path = read_json(folder / FILES["report"]), folder / FILES["report"]
    try:
        records = [
            Record(
                OUTCOMES[p["outcome"]], history, p["steps"], p["per_epoch"], p["total"],
                p["seconds"]["compile"], p["seconds"]["train"], p["blame"],
            )
            for p, history in zip(report["phases"], read_history(folder), strict=True)
        ]  # fmt: skip
        said, seconds = list(report["decisions"]), dict(report["seconds"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ResumeError(f"{path} is not the report of a run of this Sonde ({why})") from None
    return Run(load(folder / FILES["network"]).network, records, plan, seed, data, said, seconds, folder)


def _carry_out(
    net: Network,
    data: Dataset,
    plan: Plan,
    seed: int,
    folder: Path | None,
    progress: bool | str | None,
    observer: Observer | tuple[Observer, ...] | None,
    checkpoint_seconds: float,
) -> Run:
    began, free = time.perf_counter(), available()
    prepared = plan.prepare(dict(data.train))
    on_device = placed(data, [phase.batch for phase in prepared.phases])
    for split, part in data.splits.items():
        prepared = prepared if split == "train" else prepared.admit(dict(part), split)
    needed, scarce = _needed(net, prepared, on_device, free)
    title = progress if isinstance(progress, str) else "training"
    shown = watcher(title, lines=bool(progress)) if progress is not False else None
    if needed and (shown or (scarce and progress is not False)):
        (shown or Lines(title)).say(needed)
    observers = _as_observers(observer)
    trackers = [w for w in observers if isinstance(w, Tracker)]
    watchers = [w for w in (shown, *observers) if w is not None]

    def observe(d: Any) -> None:
        for w in watchers:
            w(d)

    try:
        network, records = execute(
            net,
            prepared,
            on_device,
            seed,
            observer=observe,
            checkpoints=None if folder is None else folder / FILES["checkpoint"],
            checkpoint_seconds=checkpoint_seconds,
        )
    finally:
        for w in (shown, *trackers):
            if w is not None:
                w.close()
    seconds = {
        "compile": sum(r.compile_seconds for r in records),
        "train": sum(r.train_seconds for r in records),
        "total": time.perf_counter() - began,
    }
    said = decisions(network, prepared, data, records)
    said += [line for line in (needed, *(t.failed for t in trackers)) if line]
    run = Run(network, records, plan, seed, data, said, seconds, folder)
    if folder is not None:
        run.save(folder)
        if run.outcome != Outcome.INTERRUPTED:
            (folder / FILES["checkpoint"]).unlink(missing_ok=True)
    return run


def _needed(net: Network, plan: Plan, data: Any, free: int | None) -> tuple[str, bool]:
    """What memory the run takes, in words, and whether that is most of what is free."""
    try:
        memory = estimate(net, plan, data)
    except Exception:  # whatever is wrong, the run itself says it better
        return "", False
    if free is None or memory.total <= 0.9 * free:
        return f"memory: {memory}", False
    return (
        f"look: the run takes {memory}, and only {free / 1e6:,.0f} MB are free: a smaller batch or network takes less, "
        "and Dataset(..., chunk=) keeps only so many training rows on the device"
    ), True


def _as_observers(given: Any) -> tuple[Observer, ...]:
    observers = given if isinstance(given, tuple) else () if given is None else (given,)
    for observer in observers:
        if isinstance(observer, type) or not callable(observer):
            raise ArgumentError(f"observer must be a function of a Dispatch, or a tuple of such; got {observer!r}")
    return observers


def as_dataset(data: Any) -> Dataset:
    """A dataset as it is, and ``(x, y)`` split.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, tuple | list) or not 1 <= len(data) <= 2:
        raise ArgumentError(
            f"data must be a Dataset or a pair, fit(network, (x, y), ...), after the network; got {_shortly(data)}"
        )
    return Dataset.of(*data)


def _shortly(given: Any) -> str:
    return shape_of(given) if hasattr(given, "shape") else type(given).__name__
