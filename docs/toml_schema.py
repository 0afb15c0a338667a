"""Writes docs/guide/toml.md, the keys of a TOML file, from the code: ``python docs/toml_schema.py``."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import sonde as sd
from sonde._value import FUNCTIONS, KINDS, Value, show
from sonde.data.encoder import WORDS
from sonde.recipes import Experiment, Recipe

PAGE = Path(__file__).parent / "guide" / "toml.md"

HEAD = """# TOML files

A TOML file says what `sonde train` is to do: `sonde train experiment.toml`. `sonde train ... --write-toml` prints the
file of what would run, its network and its plan written out. The same settings give the same bits from a file, from
the command line and from Python. This page is generated from the code by `python docs/toml_schema.py`.

```toml
source = "houses.csv"
target = "price"
seed = 3
hidden = [256, 128]

[columns]
zip = "category"
```

A misspelled key is an error that names the nearest one.

## Keys

`recipe` names a [recipe](recipes.md), `seed` (0) is what everything random follows from, and every other key is a
setting of the recipe. Without `recipe` it is an `experiment`, which has these:

| key | usual value | what it is |
| --- | --- | --- |
"""

IN_TOML = {"network_spec": "network", "training": "plan"}

KIND_GROUPS = {
    "Layers": sd.nn.Layer,
    "Initializers": sd.nn.Initializer,
    "Objectives": sd.Objective,
    "Optimizers": (sd.optim.Optimizer, sd.optim.Wrapped),
    "Constraints": sd.optim.Constraint,
    "Schedules": sd.optim.Schedule,
    "Samplers": sd.data.Sampler,
    "Augmentation": sd.data.Augmentation,
    "Controllers": sd.Controller,
    "Probes": sd.Probe,
    "Encodings": sd.data.Encoding,
}


def meanings(kind: type) -> dict[str, str]:
    """What the docstring of a value says of each of its fields."""
    said = inspect.getdoc(kind) or ""
    block = said.partition("Args:\n")[2].partition("\n\n")[0]
    return {m[1]: " ".join(m[2].split()) for m in re.finditer(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", block, re.M)}


def default(given: object) -> str:
    """A default as TOML has it."""
    if given is dataclasses.MISSING:
        return "needed"
    if given is None:
        return "none"
    if isinstance(given, bool):
        return f"`{str(given).lower()}`"
    if isinstance(given, str):
        return f'`"{given}"`'
    return f"`{list(given)}`" if isinstance(given, tuple) else f"`{show(given)}`"


def is_ours(thing: object) -> bool:
    """Whether it is part of the library."""
    return str(thing.__module__).startswith("sonde.")


def page() -> str:
    """The whole page."""
    said = meanings(Experiment)
    rows = []
    for f in dataclasses.fields(Experiment):  # pyright: ignore[reportArgumentType]
        name = IN_TOML.get(f.name, f.name)
        meaning = said.get(name) or said.get(f.name) or "how often it is run, each with the next seed."
        usual = "`{}`" if f.name == "columns" else default(f.default)
        rows.append(f"| `{name}` | {usual} | {meaning.replace('|', ' or ')} |")
    words = [f"| `{word}` | `{e!r}` |" for word, e in WORDS.items()]
    lines = [
        HEAD + "\n".join(rows),
        "\n## Words for encodings\n",
        "In `[columns]`, a word, or a value such as `{ is = \"Numeric\", scale = \"robust\" }`.\n",
        "| word | is |\n| --- | --- |\n" + "\n".join(words),
        "\n## Kinds of values\n",
        "In `[network]`, `[plan]` and `[columns]` a value is a table with the key `is`; its other keys are fields. "
        "A function is `{ function = \"relu\" }`, one of "
        + ", ".join(f"`{name}`" for name, f in sorted(FUNCTIONS.items()) if is_ours(f))
        + ".\n\n| kind | fields (and what they usually are) |\n| --- | --- |",
    ]
    for group, base in {**KIND_GROUPS, "Plans": Value}.items():
        bases = base if isinstance(base, tuple) else (base,)
        for name, kind in sorted(KINDS.items()):
            plain = group != "Plans" and issubclass(kind, bases) and kind not in bases
            plan = group == "Plans" and name in ("Plan", "Phase", "Turn")
            ours = is_ours(kind) and not name.startswith("_") and not issubclass(kind, Recipe)
            if ours and (plain or plan):
                fields = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
                told = ", ".join(f"`{f.name}` ({default(f.default).replace('|', '')})" for f in fields)
                lines.append(f"| {name} | {told} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
