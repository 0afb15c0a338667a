"""docs/features.md says what exists; this says whether that is so."""

import ast
import collections
import functools
import importlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import sonde as sd
from sonde.recipes import Recipe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CHECKLIST = ROOT.parent / "shared" / "checklist.md"


class Row(NamedTuple):
    """A line of the table."""

    id: str
    what: str
    names: list[str]
    test: str
    page: str


def rows() -> list[Row]:
    """The lines of the table."""
    found = []
    for line in (DOCS / "features.md").read_text().splitlines():
        if re.match(r"\| [A-Z]\d\d \|", line):
            id, what, names, test, page = (cell.strip() for cell in line.split("|")[1:-1])
            link = re.fullmatch(r"\[.*\]\((.*)\)", page)
            found.append(Row(id, what, re.findall(r"`([^`]+)`", names), test.strip("`"), link[1] if link else page))
            assert names == "not yet" or found[-1].names, f"{id} names nothing and does not say 'not yet'"
    return found


ROWS = rows()
THERE = [row for row in ROWS if row.names]
there = pytest.mark.parametrize("row", THERE, ids=[row.id for row in THERE])


def test_every_id_occurs_once_with_words():
    assert [i for i, n in collections.Counter(row.id for row in ROWS).items() if n > 1] == []
    assert len(ROWS) > 250 and all(row.what for row in ROWS)


def test_the_ids_are_those_of_the_checklist_in_its_order():
    if not CHECKLIST.exists():
        pytest.skip("the checklist is not beside the repository")
    assert [row.id for row in ROWS] == re.findall(r"^- \*\*([A-Z]\d\d)\*\*", CHECKLIST.read_text(), re.MULTILINE)


def test_the_count_is_right():
    told = re.search(r"Today (\d+) of (\d+) exist", (DOCS / "features.md").read_text())
    assert told and (int(told[1]), int(told[2])) == (len(THERE), len(ROWS))


def test_what_is_not_there_claims_nothing():
    assert not [row.id for row in ROWS if not row.names and (row.test or row.page)]


def public(name: str) -> Any:
    """What a name below ``sonde`` is: ``Classify``, ``nn.Network.weights``, ``diagnose.pictures.mistakes``.

    What is JAX's stays JAX's, and has its name: ``jax.numpy.tensordot``.
    """
    if name.startswith("jax."):
        module, _, member = name.rpartition(".")
        return getattr(importlib.import_module(module), member)
    first, *rest = name.split(".")
    thing: Any = getattr(sd, first) if hasattr(sd, first) else importlib.import_module(f"sonde.{first}")
    path = f"sonde.{first}"
    for part in rest:
        path += f".{part}"
        thing = getattr(thing, part) if hasattr(thing, part) else importlib.import_module(path)
    return thing


@there
def test_names_exist_and_are_public(row):
    for name in row.names:
        assert not any(part.startswith("_") for part in name.split("."))
        public(name)


@functools.cache
def checked_by(file: Path) -> dict[str, bool]:
    """The tests of a file, and whether they have parameters."""
    functions = [n for n in ast.parse(file.read_text()).body if isinstance(n, ast.FunctionDef)]
    return {f.name: bool(f.decorator_list) for f in functions if f.name.startswith("test_")}


@there
def test_tests_exist(row, request):
    path, _, function = row.test.partition("::")
    name, _, parameters = function.partition("[")
    found = checked_by(ROOT / path)
    assert name in found, f"{path} has no test {name}"
    assert found[name] or not parameters, f"{name} has no parameters"
    collected = {item.nodeid for item in request.session.items if item.nodeid.startswith(f"{path}::{name}[")}
    if parameters and len(collected) > 1:  # this file was collected too, so its parameters are known
        assert row.test in collected, f"there is {', '.join(sorted(collected))}"


def test_no_test_stands_for_more_than_three():
    stands = collections.Counter(row.test for row in THERE)
    assert not [test for test, n in stands.items() if n > 3]


@there
def test_pages_exist(row):
    assert not row.page or (DOCS / row.page).is_file()


WORKED = {"V08", "V09", "V11"}
"""Numbers that are worked out by hand and not trained for: their test works them out, and a page shows it."""


@there
def test_numbers_are_measured(row):
    if row.id in WORKED:
        assert row.page, f"{row.id} is worked out by hand: it names the page that shows it"
    elif row.id.startswith("V"):
        recipes = [thing for name in row.names if isinstance(thing := public(name), type) and issubclass(thing, Recipe)]
        results = json.loads((DOCS / "results.json").read_text())
        assert recipes, f"{row.id} is a number: it names the recipe that prints it"
        assert all(recipe.name in results for recipe in recipes), f"run docs/record_results.py for {row.names}"
