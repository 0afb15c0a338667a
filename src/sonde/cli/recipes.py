"""Which recipe is meant: by its name, by a TOML file, or by data of one's own; and the list of all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from sonde._errors import ArgumentError, nearest
from sonde.cli.terminal import ENDED, say

if TYPE_CHECKING:
    from sonde.recipes import Recipe


def chosen(what: str, words: dict[str, str], values: dict[str, tuple]) -> tuple[Recipe, int]:
    """The recipe that is meant, and its seed: one by name, one in a TOML file, or an experiment on a source.

    Args:
        what: the name, the file or the source.
        words: its settings, as they were typed.
        values: settings that have no words: of columns and what to leave out.

    Raises:
        ArgumentError: there is no such recipe, or it has no such setting.
    """
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


def pairs(option: str, settings: list[str] | None) -> dict[str, str]:
    """``key=value``, as often as it was given."""
    given = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ArgumentError(f"{option} takes key=value; got {setting!r}")
        given[key.strip()] = value.strip()
    return given


def recipes() -> int:
    """List the recipes, the numbers they should reach, and their settings."""
    from sonde.recipes import recipes as known
    from sonde.recipes.recipe import shown

    lines = []
    for name, kind in known().items():
        lines += [name, f"  {(kind.__doc__ or '').strip().splitlines()[0]}"]
        lines += [f"  reaches {t.name} {t.better} {t.wanted:g}{_over(t.over)}" for t in kind.targets]
        fields = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
        lines += ["  settings " + " ".join(f"{f.name}={shown(f.default)}" for f in fields if f.default is not None), ""]
    say("\n".join(lines[:-1]))
    return ENDED


def _over(repeats: int) -> str:
    return f" (mean of {repeats} runs)" if repeats > 1 else ""
