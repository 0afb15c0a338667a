"""A recipe: a whole job on a page. Data, network, plan, the numbers it should reach, its pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sonde._errors import ArgumentError, FormatError, ResumeError, SondeError, check_whole, nearest
from sonde._random import checked_seed
from sonde._store import read_json, write_json
from sonde._value import KINDS, Value, from_json, to_json
from sonde.data import Dataset
from sonde.fitting import fit, resume
from sonde.folder import FILES, device_name, strict, versions
from sonde.nn import Layer
from sonde.run import Run
from sonde.train import Outcome, Plan

SETTINGS = "recipe.json"
RESULT = "result.json"

SEVERITY = (
    Outcome.RUNNING, Outcome.FINISHED, Outcome.STOPPED_EARLY, Outcome.REACHED_TARGET, Outcome.OUT_OF_TIME,
    Outcome.DIVERGED, Outcome.INTERRUPTED,
)  # fmt: skip
"""How a run ended, from the best to the worst."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that a recipe should reach.

    Attributes:
        name: a test metric ("accuracy"), the mean over repeats, or a number that the recipe measures itself.
        wanted: how much.
        better: ``">="`` or ``"<="``.
        over: the mean of how many repeats is meant; fewer are judged too, but a single one says less.
    """

    name: str
    wanted: float
    better: str = ">="
    over: int = 1

    def met(self, reached: float | None) -> bool:
        """Whether that is good enough; a NaN never is."""
        if reached is None:
            return False
        return reached >= self.wanted if self.better == ">=" else reached <= self.wanted


class Recipe(Value):
    """What a recipe says. Its fields are its settings; ``repeats`` is how often it is run, each with the next seed.

    Example:
        >>> from sonde.recipes import made
        >>> made("xor", {"epochs": "200"})
        Xor(epochs=200)
    """

    name: ClassVar[str] = ""
    targets: ClassVar[tuple[Target, ...]] = ()
    repeats: int = 1

    def check(self) -> None:
        """Refuse to run less than once, and counts and sizes below zero."""
        check_whole(self, "repeats")
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            if isinstance(given, int) and given < 0:
                raise ArgumentError(f"{field.name} must be at least 0; got {given}")

    def data(self, seed: int) -> Dataset:
        """What it is trained on."""
        raise ArgumentError(f"{type(self).__name__} does not say what its data is")

    def network(self, data: Dataset) -> Layer:
        """What is trained."""
        raise ArgumentError(f"{type(self).__name__} does not say what its network is")

    def plan(self, data: Dataset) -> Plan:
        """How it is trained."""
        raise ArgumentError(f"{type(self).__name__} does not say what its plan is")

    def parts(self) -> dict[str, Recipe]:
        """What is run: itself, or each of several variants of itself, by name (see `Variants`)."""
        return {"": self}

    def look(self, runs: list[Run], folder: Path | None, seed: int) -> dict[str, float]:
        """What else the recipe measures and draws when its runs are done: numbers by name."""
        return {}


class Variants(Recipe):
    """A recipe that is run in several variants: all of them, or the one that ``variant`` names. They share their data.

    A variant is the recipe with its name in ``variant``; `network` and `plan` look there. Each is run ``repeats``
    times, and the validation curves of all are drawn into one picture, ``variants.png``.

    Example:
        >>> from sonde.recipes import made
        >>> list(made("digits-0-4", {}).parts()), list(made("digits-0-4", {"variant": "norm"}).parts())
        (['plain', 'norm', 'dropout'], ['norm'])
    """

    variants: ClassVar[Mapping[str, str]] = {}
    """What each is, in a few words, by name."""

    apart: ClassVar[bool] = False
    """Whether each has data of its own: then `data` looks at ``variant``, too."""

    variant: str = ""

    def check(self) -> None:
        """Refuse a variant that there is not."""
        super().check()
        if self.variant and self.variant not in self.variants:
            known = ", ".join(self.variants)
            raise ArgumentError(f"variant must be one of {known}, or empty for all of them; got {self.variant!r}")

    def parts(self) -> dict[str, Recipe]:
        """Every variant, or the chosen one."""
        return {name: self.replace(variant=name) for name in self.variants if self.variant in ("", name)}

    def look(self, runs: list[Run], folder: Path | None, seed: int) -> dict[str, float]:
        """How long each variant took, mean over repeats, and the validation curves of the first repeat of each."""
        from sonde.diagnose import line_panels

        curves, took = {name: {} for name in ("training loss", "validation loss", "validation error, %")}, {}
        for job, run in zip(jobs(self), runs, strict=True):
            took.setdefault(job.part, []).append((sum(r.epochs for r in run.records), run.seconds["train"]))
            if job.repeat == 0:
                told, label = run.history, self.variants[job.part]
                loss = {split: told.get(f"{split}/classify", told[f"{split}/loss"]) for split in ("train", "valid")}
                drawn = (loss["train"], loss["valid"], 100 * told["valid/error"])  # penalties are left out
                for name, values in zip(curves, drawn, strict=True):
                    there = np.isfinite(values)  # of a run that diverged, what came before
                    curves[name] |= {label: (told["epoch"][there], values[there])} if there.any() else {}
        if folder is not None and any(curves.values()):
            panels = [(name, curve, "epoch", "") for name, curve in curves.items()]
            line_panels(panels, folder / "variants.png", losses=True)
        means = {part: np.mean(each, axis=0) for part, each in took.items()}
        measured = {f"{part}, epochs": float(mean[0]) for part, mean in means.items()}
        return measured | {f"{part}, seconds to train": float(mean[1]) for part, mean in means.items()}


@dataclasses.dataclass(frozen=True)
class Job:
    """One of the runs of a recipe.

    Attributes:
        part: which of its variants, with the settings of that; "" if it has none.
        recipe: the variant.
        repeat: which repeat, from 0.
        below: its folder below that of the recipe; "" if it is the only run.
        title: what it is called where there are several.
    """

    part: str
    recipe: Recipe
    repeat: int
    below: str
    title: str


def jobs(recipe: Recipe) -> list[Job]:
    """Every repeat of every variant, in the order in which they are run."""
    parts, found = recipe.parts(), []
    for name, part in parts.items():
        for i in range(recipe.repeats):
            folders = [name] * (len(parts) > 1) + [f"repeat-{i + 1}"] * (recipe.repeats > 1)
            title = [name] * (len(parts) > 1) + [f"repeat {i + 1}/{recipe.repeats}"] * (recipe.repeats > 1)
            found.append(Job(name, part, i, "/".join(folders), ", ".join(title)))
    return found


@dataclasses.dataclass
class Result:
    """What a recipe came to.

    Attributes:
        runs: one a repeat; of a recipe with variants, the repeats of the first, then those of the second, ...
        metrics: ``{"validation": {name: mean over repeats}, "test": ...}``, and what the recipe measured itself. Of
            variants a name is ``"l1/accuracy"``.
        targets: ``{"name", "wanted", "reached", "met"}`` for each.
        seconds: ``compile``, ``train`` and ``total``.
    """

    recipe: Recipe
    seed: int
    runs: list[Run]
    metrics: dict[str, dict[str, float]]
    errors: dict[str, float]
    targets: list[dict[str, Any]]
    seconds: dict[str, float]
    folder: Path | None

    @property
    def outcome(self) -> Outcome:
        """The worst of how the runs ended."""
        return max((run.outcome for run in self.runs), key=SEVERITY.index)

    def as_json(self) -> dict[str, Any]:
        """The account that ``--json`` writes: strict JSON, in which None is what is not finite."""
        account = {
            "recipe": type(self.recipe).name,
            "settings": {k: v for k, v in to_json(self.recipe).items() if k != "is"},
            "outcome": self.outcome.words,
            "epochs": float(np.mean([sum(r.epochs for r in run.records) for run in self.runs])),
            "metrics": self.metrics,
            "standard_deviations": self.errors,
            "targets": self.targets,
            "seconds": self.seconds,
            "artifact": None if self.folder is None else str(artifact_path(self.folder, self.recipe)),
            "seed": self.seed,
            "device": device_name(),
            "versions": versions(),
        }
        return strict(account)


def artifact_path(folder: Path, recipe: Recipe) -> Path:
    """Where the network of the first run is."""
    return folder / jobs(recipe)[0].below / FILES["network"]


def cook(
    recipe: Recipe,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    progress: bool | None = None,
    pictures: bool = True,
    checkpoint_seconds: float = 5.0,
) -> Result:
    """Run a recipe, or go on with it where ``out`` says it stands.

    Args:
        recipe: with its settings.
        seed: everything random follows from it; repeat i has seed + i.
        out: the folder for the runs, their artifacts and pictures.
        progress: as for `sonde.fit`.
        pictures: whether to draw.
        checkpoint_seconds: as for `sonde.fit`.
    """
    began, seed = time.perf_counter(), checked_seed(seed)
    checked_seed(seed + recipe.repeats - 1)  # that of the last repeat
    folder = None if out is None else Path(out)
    there = folder is not None and folder.exists()
    begins = folder is not None and _begin(folder, recipe, seed)
    try:
        runs = _runs(recipe, seed, folder, pictures, progress=progress, checkpoint_seconds=checkpoint_seconds)
    except Exception:  # what came to nothing leaves nothing, so that it can begin here again once it is mended
        if folder is not None and begins and not (folder / jobs(recipe)[0].below / FILES["run"]).exists():
            (folder / SETTINGS).unlink(missing_ok=True)
            if not there:
                with contextlib.suppress(OSError):  # something else is in it
                    folder.rmdir()
        raise
    whole = len(runs) == len(jobs(recipe)) and all(run.outcome != Outcome.INTERRUPTED for run in runs)
    measured = recipe.look(runs, folder if pictures else None, seed) if whole else {}
    result = _result(recipe, seed, runs, measured, folder, time.perf_counter() - began)
    if folder is not None and whole:
        write_json(folder / RESULT, result.as_json())
    return result


def _begin(folder: Path, recipe: Recipe, seed: int) -> bool:
    """Write down what the folder is for; whether that is new."""
    if (folder / SETTINGS).exists():
        if resumable(folder) != (recipe, seed):
            raise ArgumentError(f"{folder} belongs to a run with other settings or another seed; choose another folder")
        return False
    for name in FILES.values():
        if (folder / name).exists():
            raise ArgumentError(f"{folder} holds the {name} of another run; choose another folder")
    write_json(folder / SETTINGS, {"recipe": to_json(recipe), "seed": seed})
    return True


def _runs(
    recipe: Recipe, seed: int, folder: Path | None, pictures: bool, *, progress: Any, checkpoint_seconds: float
) -> list[Run]:
    """A run a job: begun, gone on with, or read from its folder if it has ended."""
    runs, datasets = [], {}
    for job in jobs(recipe):
        own, its_seed = job.recipe, seed + job.repeat
        whose = (job.repeat, job.part if isinstance(recipe, Variants) and recipe.apart else "")
        if whose not in datasets:
            datasets[whose] = own.data(its_seed)
        data = datasets[whose]
        into = None if folder is None else folder / job.below
        title = job.title if progress is True and job.title else progress
        keep: Any = {"progress": title, "checkpoint_seconds": checkpoint_seconds}
        if into is not None and (into / FILES["run"]).exists():
            run = resume(into, data, **keep)
        else:
            run = fit(own.network(data), data, plan=own.plan(data), seed=its_seed, out=into, **keep)
        runs.append(run)
        if run.outcome == Outcome.INTERRUPTED:
            break
        if into is not None and pictures and run.outcome != Outcome.DIVERGED:
            run.plot(into)
    return runs


def resumable(folder: str | Path) -> tuple[Recipe, int]:
    """The recipe and seed of a folder that `cook` began.

    Raises:
        ResumeError: there is none, or it is damaged.
    """
    path = Path(folder) / SETTINGS
    if not path.exists():
        own = (Path(folder) / FILES["run"]).exists()
        hint = "; a run that Python began goes on with sonde.resume(folder, data)" if own else ""
        raise ResumeError(f"there is no run of a recipe in {folder} (no {SETTINGS}){hint}")
    try:
        said = read_json(path)
        recipe, seed = from_json(said["recipe"]), checked_seed(said["seed"])
        if not isinstance(recipe, Recipe):
            raise FormatError(f"{type(recipe).__name__} is no recipe")
    except (SondeError, KeyError, TypeError) as error:
        raise ResumeError(f"{path} does not describe a recipe of this Sonde: {error}") from None
    return recipe, seed


def _result(
    recipe: Recipe, seed: int, runs: list[Run], measured: dict[str, float], folder: Path | None, total: float
) -> Result:
    metrics, errors, of_part = {"validation": {}, "test": {}}, {}, {}
    for job, run in zip(jobs(recipe), runs, strict=False):  # an interrupted recipe has fewer runs
        of_part.setdefault(f"{job.part}/" if job.part else "", []).append(run)
    for split, name in (("valid", "validation"), ("test", "test")):
        for part, own in of_part.items():
            each = [run.evaluate(split) for run in own]
            metrics[name] |= {part + m: float(np.mean([e[m].value for e in each])) for m in each[0]}
            if len(own) > 1:
                errors |= {f"{name}/{part}{m}": float(np.std([e[m].value for e in each], ddof=1)) for m in each[0]}
    if measured:
        metrics["measured"] = measured
    targets = []
    for target in recipe.targets:
        reached = measured.get(target.name, metrics["test"].get(target.name))
        targets.append(
            {"name": target.name, "wanted": target.wanted, "reached": reached, "met": target.met(reached)}
        )
    seconds = {k: sum(run.seconds[k] for run in runs) for k in ("compile", "train")} | {"total": total}
    return Result(recipe, seed, runs, metrics, errors, targets, seconds, folder)


def recipes() -> dict[str, type[Recipe]]:
    """Every recipe that there is, by name."""
    found = {kind.name: kind for kind in KINDS.values() if issubclass(kind, Recipe) and kind.name}
    return dict(sorted(found.items()))


def made(name: str, settings: Mapping[str, str]) -> Recipe:
    """A recipe by name, with settings given as words.

    Raises:
        ArgumentError: no such recipe or setting (the nearest is offered), or a value of the wrong kind.
    """
    usual = usual_settings(name)
    given = {k: _as_kind(k, words, usual[k]) if k in usual else words for k, words in settings.items()}
    return with_settings(name, given)


def with_settings(name: str, settings: Mapping[str, Any]) -> Recipe:
    """A recipe by name, with settings given as values.

    Raises:
        ArgumentError: no such recipe or setting (the nearest is offered), or a value of the wrong kind.
    """
    usual = usual_settings(name)
    for key, given in settings.items():
        if key not in usual:
            raise ArgumentError(f"the recipe {name} has no setting {key!r}{nearest(key, usual)}")
        kind = type(usual[key])
        fits = isinstance(given, int | float) if kind in (int, float) else isinstance(given, kind)
        if usual[key] is not None and (not fits or (isinstance(given, bool) and kind is not bool)):
            raise ArgumentError(f"{key} must be like {shown(usual[key]) or repr(usual[key])}; got {given!r}")
    return recipes()[name](**settings)


def usual_settings(name: str) -> dict[str, Any]:
    """The settings of a recipe, and the usual value of each.

    Raises:
        ArgumentError: no such recipe; the nearest is offered.
    """
    known = recipes()
    if name not in known:
        raise ArgumentError(f"no recipe is called {name!r}{nearest(name, known)}")
    return {f.name: f.default for f in dataclasses.fields(known[name])}  # pyright: ignore[reportArgumentType]


def _as_kind(name: str, words: str, usual: Any) -> Any:
    if usual is None:
        raise ArgumentError(f"{name} is more than a word can say; write it in a TOML file")
    one = (usual[0] if usual else "") if isinstance(usual, tuple) else usual
    try:
        if isinstance(usual, tuple):
            return tuple(type(one)(w.strip()) for w in words.split(",")) if words else ()
        if isinstance(usual, bool):
            return {"true": True, "false": False}[words.lower()]
        return type(usual)(words)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(one), "a word")
        kind += " or several, as in " if isinstance(usual, tuple) else ", such as "
        raise ArgumentError(f"{name} must be {kind}{shown(usual)}; got {words!r}") from None


def shown(usual: Any) -> str:
    """A setting as ``--set`` takes it: ``300,50``."""
    if isinstance(usual, bool):
        return str(usual).lower()
    return ",".join(map(str, usual)) if isinstance(usual, tuple) else str(usual)
