"""The commands that make runs, and read them: train, resume, explain."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import jax
from cyclopts import Parameter

from sonde._errors import ArgumentError, ResumeError, SourceError
from sonde._store import read_json, write_atomically, write_json
from sonde.cli.account import account
from sonde.cli.recipes import chosen, pairs
from sonde.cli.terminal import DIVERGED, ENDED, INTERRUPTED, note, say
from sonde.fitting import resume as read
from sonde.folder import finished
from sonde.train import Outcome

if TYPE_CHECKING:
    from sonde.recipes import Recipe

Device = Literal["auto", "cpu", "gpu"]


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
    device: Device = "auto",
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

    given = pairs("--set", settings)
    if target is not None:
        given["target"] = target
    if task is not None:
        given["task"] = task
    columns = tuple(pairs("--column", column).items())
    recipe, its_seed = chosen(what, given, {"drop": tuple(drop or ()), "columns": columns})
    seed = its_seed if seed is None else seed
    if write_toml:
        say(as_toml(recipe.settled(seed) if isinstance(recipe, Experiment) else recipe, seed), end="")
        return ENDED
    folder = out or _free(Path("runs") / (Path(what).stem or "run"))
    if (folder / SETTINGS).exists():
        hint = f"go on with `sonde resume {folder}`, or choose another --out"
        raise ArgumentError(f"there is a run in {folder} already: {hint}")
    with _on(device):
        return _cook(recipe, seed, folder, json, pictures)


def resume(folder: Path, /, *, device: Device = "auto", json: Path | None = None, pictures: bool = True) -> int:
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
    from sonde.recipes import resumable
    from sonde.recipes.recipe import RESULT, artifact_path

    recipe, seed = resumable(folder)
    if not (folder / RESULT).exists():
        with _on(device):
            return _cook(recipe, seed, folder, json, pictures)
    told = read_json(folder / RESULT)
    if not isinstance(told, dict):
        raise ResumeError(f"{folder / RESULT} is no account of a run; delete it, and resume writes it again")
    say(f"the run in {folder} has ended ({told.get('outcome')}); it stays as it is")
    if json is not None:  # the folder may have been moved since
        write_json(json, told | {"artifact": str(artifact_path(folder, recipe))})
    return DIVERGED if told.get("outcome") == "diverged" else ENDED


def explain(folder: Path, /) -> int:
    """Say of a run that has ended what was decided, how it ended, what that says, and what to try next.

    Parameters
    ----------
    folder
        What the run was given as --out.
    """
    from sonde.recipes import resumable
    from sonde.recipes.recipe import jobs

    recipe, seed = resumable(folder)
    for job in jobs(recipe):
        if not finished(run := folder / job.below):
            raise ResumeError(f"the run in {run} has not ended; go on with `sonde resume {folder}`")
        title = f"{job.title} (seed {seed + job.repeat})\n" if job.title else ""
        say(title + read(run, job.recipe.data(seed + job.repeat), progress=False).explain())
    return ENDED


def _cook(recipe: Recipe, seed: int, folder: Path, json: Path | None, pictures: bool) -> int:
    """Carry a recipe out, and say what it came to."""
    from sonde.recipes import cook
    from sonde.recipes.recipe import SETTINGS

    if json is not None:
        _check_writable(json)
    say(f"recipe {type(recipe).name}, seed {seed}, into {folder}")
    try:
        result = cook(recipe, seed, folder, progress=True, pictures=pictures)
    except KeyboardInterrupt:
        begun = (folder / SETTINGS).exists()
        note(f"interrupted; go on with `sonde resume {folder}`" if begun else "interrupted before it began")
        return INTERRUPTED
    if json is not None:
        write_json(json, result.as_json())
    say(account(result))
    ends = {Outcome.DIVERGED: DIVERGED, Outcome.INTERRUPTED: INTERRUPTED}
    return ends.get(result.outcome, ENDED)


def _free(folder: Path) -> Path:
    """The folder, or the first with a number behind it that is not there yet."""
    n, free = 1, folder
    while free.exists():
        n += 1
        free = folder.with_name(f"{folder.name}-{n}")
    return free


@contextlib.contextmanager
def _on(device: str) -> Iterator[None]:
    """Compute on a device of that kind."""
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
    if path.is_dir():
        raise SourceError(f"cannot write {path}: it is a folder; name a file")
    trial = path.with_name(f".{path.name}.trial")
    try:
        write_atomically(trial, b"")
    except SourceError as error:
        raise SourceError(str(error).replace(str(trial), str(path))) from None
    trial.unlink()
