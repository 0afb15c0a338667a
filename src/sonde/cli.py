"""The ``sonde`` command.

Exit status: 0 ended (targets met or not), 1 our fault, 2 the user's mistake, 3 diverged, 130 interrupted.
"""

from __future__ import annotations

import _thread
import contextlib
import csv
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from sonde._errors import ArgumentError, DataError, ResumeError, SondeError, SourceError, nearest

app = cyclopts.App(
    name="sonde", help="Train deep networks, see what happened, use them again.", suppress_keyboard_interrupt=False
)

ENDED, OUR_FAULT, MISTAKE, DIVERGED, INTERRUPTED = 0, 1, 2, 3, 130


@app.command
def train(
    what: str,
    /,
    *,
    target: str | None = None,
    task: Literal["auto", "classes", "numbers"] | None = None,
    drop: Annotated[list[str] | None, Parameter(negative="")] = None,
    column: Annotated[list[str] | None, Parameter(negative="")] = None,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    out: Path | None = None,
    seed: int | None = None,
    device: Literal["auto", "cpu", "gpu"] = "auto",
    json: Path | None = None,
    pictures: bool = True,
    write_toml: bool = False,
) -> int:
    """Train on your data, or a recipe, and say how it went and where everything is.

    Parameters
    ----------
    what
        A CSV or Parquet file, a .npz, a folder of images (a sub-folder a class), the name of a data set, a
        recipe (`sonde recipes` lists them), or a TOML file that says all of it.
    target
        The column to predict.
    task
        classes or numbers; auto takes text, truths and up to 20 different whole numbers (of which
        one comes twice) for classes.
    drop
        A column to leave out, as often as you like.
    column
        NAME=KIND, how a column is meant: number, log, category, boolean, date, text, image, ...
    settings
        key=value, as often as you like; `sonde recipes` lists the keys (those of data are of `experiment`).
    out
        The folder for the network, the report and the pictures (default: runs/NAME, or the next free one).
    seed
        Everything random follows from it (default: 0, or what the TOML file says).
    device
        Where to compute; auto takes a GPU if JAX sees one.
    json
        A file for the account of the run.
    pictures
        Whether to draw.
    write_toml
        Print what would run, network and plan included, and end.
    """
    from sonde.recipes import Experiment
    from sonde.recipes import write_toml as as_toml
    from sonde.recipes.recipe import SETTINGS

    given = _pairs("--set", settings)
    if target is not None:
        given["target"] = target
    if task is not None:
        given["task"] = task
    columns = tuple(_pairs("--column", column).items())
    chosen, its_seed = _chosen(what, given, {"drop": tuple(drop or ()), "columns": columns})
    seed = its_seed if seed is None else seed
    if write_toml:
        _say(as_toml(chosen.settled(seed) if isinstance(chosen, Experiment) else chosen, seed), end="")
        return ENDED
    folder = out or _free(Path("runs") / (Path(what).stem or "run"))
    if (folder / SETTINGS).exists():
        hint = f"go on with `sonde resume {folder}`, or choose another --out"
        raise ArgumentError(f"there is a run in {folder} already: {hint}")
    with _on(device):
        return _cook(chosen, seed, folder, json, pictures)


def _pairs(option: str, settings: list[str] | None) -> dict[str, str]:
    """``key=value``, as often as it was given."""
    given = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ArgumentError(f"{option} takes key=value; got {setting!r}")
        given[key.strip()] = value.strip()
    return given


def _chosen(what: str, words: dict[str, str], values: dict[str, tuple]):
    """The recipe that is meant, and its seed: one by name, one in a TOML file, or an experiment on a source."""
    from sonde.recipes import Experiment, made, read_toml, recipes
    from sonde.recipes.experiment import is_named
    from sonde.recipes.recipe import usual_settings

    values = {name: given for name, given in values.items() if given}
    if what.endswith(".toml"):
        recipe, seed = read_toml(what)
    elif what in recipes():
        recipe, seed = made(what, {}), 0
    elif Path(what).exists() or is_named(what):
        recipe, seed = Experiment(source=what), 0
    else:
        raise ArgumentError(
            f"{what!r} is no file or folder, no data set and no recipe{nearest(what, recipes())} "
            "(`sonde recipes` lists the recipes)"
        )
    kind = type(recipe).name
    for key in values:
        if key not in usual_settings(kind):
            raise ArgumentError(f"the recipe {kind} has data of its own; --{key.removesuffix('s')} goes with a file")
    changed = made(kind, words)  # checks them
    changes = {key: getattr(changed, key) for key in words} | values
    return (recipe.replace(**changes) if changes else recipe), seed


@app.command
def resume(
    folder: Path, /, *, device: Literal["auto", "cpu", "gpu"] = "auto", json: Path | None = None, pictures: bool = True
) -> int:
    """Go on with a run that was interrupted or killed; on the same machine it ends with the same bits.

    Parameters
    ----------
    folder
        What the run was given as --out.
    device
        Where to compute.
    json
        A file for the account of the run.
    pictures
        Whether to draw.
    """
    from sonde._store import read_json, write_json
    from sonde.recipes import resumable
    from sonde.recipes.recipe import RESULT, artifact_path

    recipe, seed = resumable(folder)
    if not (folder / RESULT).exists():
        with _on(device):
            return _cook(recipe, seed, folder, json, pictures)
    account = read_json(folder / RESULT)
    if not isinstance(account, dict):
        raise ResumeError(f"{folder / RESULT} is no account of a run; delete it, and resume writes it again")
    _say(f"the run in {folder} has ended ({account.get('outcome')}); it stays as it is")
    if json is not None:  # the folder may have been moved since
        write_json(json, account | {"artifact": str(artifact_path(folder, recipe))})
    return DIVERGED if account.get("outcome") == "diverged" else ENDED


@app.command
def explain(folder: Path, /) -> int:
    """Say of a run that has ended what was decided, how it ended, what that says, and what to try next.

    Parameters
    ----------
    folder
        What the run was given as --out.
    """
    from sonde.fitting import resume as read
    from sonde.folder import finished
    from sonde.recipes import resumable
    from sonde.recipes.recipe import jobs

    recipe, seed = resumable(folder)
    for job in jobs(recipe):
        if not finished(run := folder / job.below):
            raise ResumeError(f"the run in {run} has not ended; go on with `sonde resume {folder}`")
        title = f"{job.title} (seed {seed + job.repeat})\n" if job.title else ""
        _say(title + read(run, job.recipe.data(seed + job.repeat), progress=False).explain())
    return ENDED


@app.command
def predict(artifact: Path, input: Path, /, *, out: Path | None = None) -> int:
    """Predict for raw rows, and score the predictions if the rows say what is right.

    Parameters
    ----------
    artifact
        A network that Sonde saved (network.safetensors).
    input
        Rows as the network was trained on: a CSV or Parquet file, a NumPy file, an image or a folder of images.
        Sequences of different lengths are a .npz file with x [rows, longest, ...] and lengths [rows].
    out
        A CSV file for the predictions; without it they go to standard output.
    """
    import numpy as np

    from sonde._batch import Padded
    from sonde._store import write_atomically
    from sonde.artifact import load
    from sonde.data import table_of
    from sonde.data.tables import is_picture

    network = load(artifact)
    raw = table_of(input)
    rows = network.encoded(raw if network.encoder is not None else _only_array(raw, input, network))
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    outputs = network.outputs(rows)
    predicted = network.said(outputs)
    files = [(name, raw[name]) for name in raw if network.encoder is not None and is_picture(raw[name][0])]
    lead = list(zip(*(values for _, values in files), strict=True)) or [()] * len(predicted)
    head = [name for name, _ in files]
    if isinstance(predicted, Padded):  # an answer for each step of a sequence
        head, lead = ["sequence", "step"], np.argwhere(np.asarray(predicted.real)).tolist()
        predicted, outputs = predicted.steps, outputs.steps
    if network.predicts == "classes":
        probabilities = network.shares(outputs)
        names = network.labels or [str(i) for i in range(probabilities.shape[1])]
        writer.writerow([*head, "prediction", *(f"probability {name}" for name in names)])
        each = zip(lead, predicted, probabilities, strict=True)
        writer.writerows([*first, p, *(f"{q:.6g}" for q in row)] for first, p, row in each)
    else:
        columns = predicted.reshape(len(predicted), -1)
        more = [f"prediction {i + 1}" for i in range(columns.shape[1])]
        writer.writerow(head + (["prediction"] if columns.shape[1] == 1 else more))
        each = zip(lead, columns, strict=True)
        writer.writerows([*first, *(f"{np.float32(v):.9g}" for v in row)] for first, row in each)
    if network.encoder is None and (doubt := network.doubt(getattr(rows, "steps", rows))):
        _note(doubt)
    _note_odd(network, raw)
    if out is None:
        _say(table.getvalue(), end="")
    else:
        write_atomically(out, table.getvalue().encode())
        _say(f"{len(predicted):,} predictions in {out}")
    if network.encoder is not None and network.encoder.has_target(raw):
        _note(_scores(network.score(raw)), title="")
    return ENDED


@app.command
def evaluate(artifact: Path, data: Path, /) -> int:
    """Score a network on raw rows that say what is right: every metric with its standard error.

    Parameters
    ----------
    artifact
        A network that Sonde saved (network.safetensors).
    data
        Rows as the network was trained on, target included.
    """
    from sonde.artifact import load
    from sonde.data import table_of

    network, raw = load(artifact), table_of(data)
    scores = network.score(raw)
    _note_odd(network, raw)
    _say(_scores(scores))
    return ENDED


def _note_odd(network, raw) -> None:
    """Say what rows have that no training row had."""
    for line in network.encoder.odd(raw) if network.encoder is not None else ():
        _note(f"look: {line}")


def _scores(metrics) -> str:
    return "\n".join(f"{name.replace('_', ' ')}: {score}" for name, score in metrics.items())


def _only_array(table, path: Path, network):
    """The array of a file that holds one, or its ``x``; with its ``lengths`` where the network takes sequences."""
    from sonde._batch import Padded

    if network.inputs.get("padded"):
        if "x" not in table or "lengths" not in table:
            raise DataError(
                f"the network takes sequences of different lengths: give it a .npz file with x [rows, longest, ...] "
                f"and lengths [rows]; {path} holds {', '.join(table)}"
            )
        return Padded(table["x"], table["lengths"])
    if "x" in table:
        return table["x"]
    if len(table) == 1:
        return next(iter(table.values()))
    raise DataError(f"{path} holds the columns {', '.join(table)}; the network takes an array: call it x")


@app.command
def inspect(artifact: Path, /) -> int:
    """Show what is in an artifact; nothing in it is ever executed.

    Parameters
    ----------
    artifact
        A network that Sonde saved (network.safetensors).
    """
    from sonde.artifact import load

    _say(load(artifact).describe())
    return ENDED


@app.command
def recipes() -> int:
    """List the recipes, the numbers they should reach, and their settings."""
    import dataclasses

    from sonde.recipes import recipes as known
    from sonde.recipes.recipe import shown

    lines = []
    for name, kind in known().items():
        lines += [name, f"  {(kind.__doc__ or '').strip().splitlines()[0]}"]
        lines += [f"  reaches {t.name} {t.better} {t.wanted:g}{_over(t.over)}" for t in kind.targets]
        fields = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
        lines += ["  settings " + " ".join(f"{f.name}={shown(f.default)}" for f in fields if f.default is not None), ""]
    _say("\n".join(lines[:-1]))
    return ENDED


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a command and exits with its status."""
    try:
        with _every_interrupt_lands():
            status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
            _say("", end="")
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
        _note("interrupted")
        status = INTERRUPTED
    except Exception as error:
        import traceback

        _note("".join(traceback.format_exception(error)), title="")
        _note(f"this is our fault, not yours ({type(error).__name__}); please report it")
        status = OUR_FAULT
    if status == INTERRUPTED and arguments is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is on its way out
    sys.exit(status if isinstance(status, int) else ENDED)


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


def _complain(message: str) -> int:
    _note(message)
    return MISTAKE


def _note(message: str, title: str = "sonde: ") -> None:
    """Tell the person, if anybody listens."""
    with contextlib.suppress(OSError):
        print(f"{title}{message}", file=sys.stderr, flush=True)


def _say(text: str, end: str = "\n") -> None:
    """Print a result. A reader who went away (``| head -1``) is no error; a full disk is."""
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said there
        if not isinstance(error, BrokenPipeError):
            raise SourceError(f"cannot write the output: {error.strerror}") from None


def _cook(recipe, seed: int, folder: Path, json: Path | None, pictures: bool) -> int:
    from sonde._store import write_json
    from sonde.recipes import cook
    from sonde.recipes.recipe import SETTINGS
    from sonde.train import Outcome

    if json is not None:
        _check_writable(json)
    _say(f"recipe {type(recipe).name}, seed {seed}, into {folder}")
    try:
        result = cook(recipe, seed, folder, progress=True, pictures=pictures)
    except KeyboardInterrupt:
        begun = (folder / SETTINGS).exists()
        _note(f"interrupted; go on with `sonde resume {folder}`" if begun else "interrupted before it began")
        return INTERRUPTED
    if json is not None:
        write_json(json, result.as_json())
    _say(_account(result))
    ends = {Outcome.DIVERGED: DIVERGED, Outcome.INTERRUPTED: INTERRUPTED}
    return ends.get(result.outcome, ENDED)


def _account(result) -> str:
    from sonde.recipes.recipe import artifact_path, jobs
    from sonde.train import Outcome

    lines = []
    for job, run in zip(jobs(result.recipe), result.runs, strict=False):
        title = f"{job.title} (seed {run.seed}): " if job.title else ""
        lines.append(f"{title}{run}")
    for name, value in result.metrics["test"].items():
        if (spread := result.errors.get(f"test/{name}")) is not None:
            runs = result.recipe.repeats
            lines.append(f"test {name}: mean {value:.4f}, standard deviation {spread:.4f} over {runs} runs")
    for name, value in result.metrics.get("measured", {}).items():
        lines.append(f"  {name}: {value:.6g}")
    for target, t in zip(result.recipe.targets, result.targets, strict=True):
        if t["reached"] is not None and result.outcome != Outcome.INTERRUPTED:
            whole, end = "", ", met" if t["met"] else ", missed"
            if target.over > result.recipe.repeats:  # one run may be below what the mean of many reaches
                whole, end = f" for the mean of {target.over} runs (--set repeats={target.over})", " so far"
            lines.append(f"target {t['name']} {t['wanted']:g}{whole}: reached {t['reached']:.5g}{end}")
    if result.folder is not None:
        path = artifact_path(result.folder, result.recipe)
        lines.append(f"network   {path}")
        if drawn := sorted({*result.folder.glob("*.png"), *path.parent.glob("*.png")}):
            lines.append(f"pictures  {', '.join(map(str, drawn))}")
        if result.outcome == Outcome.INTERRUPTED:
            lines.append(f"go on     sonde resume {result.folder}")
        raw = "DATA" if result.runs[0].data.encoder is not None else "INPUT.npy"
        lines.append(f"predict   sonde predict {path} {raw}")
    return "\n".join(lines)


def _over(repeats: int) -> str:
    return f" (mean of {repeats} runs)" if repeats > 1 else ""


def _free(folder: Path) -> Path:
    """The folder, or the first with a number behind it that is not there yet."""
    n, free = 1, folder
    while free.exists():
        n += 1
        free = folder.with_name(f"{folder.name}-{n}")
    return free


@contextlib.contextmanager
def _on(device: str):
    """Compute on a device of that kind."""
    import jax

    if device == "auto":
        yield
        return
    try:
        found = jax.devices(device)[0]
    except RuntimeError:
        raise ArgumentError(f"there is no {device} that JAX can use here; --device auto takes what there is") from None
    with jax.default_device(found):
        yield


def _check_writable(path: Path) -> None:
    """Find out now, and not after the training, whether a file can be written."""
    from sonde._store import write_atomically

    if path.is_dir():
        raise SourceError(f"cannot write {path}: it is a folder; name a file")
    trial = path.with_name(f".{path.name}.trial")
    try:
        write_atomically(trial, b"")
    except SourceError as error:
        raise SourceError(str(error).replace(str(trial), str(path))) from None
    trial.unlink()


if __name__ == "__main__":
    main()
