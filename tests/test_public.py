"""What is public is what `__all__` says, and all of it is explained, with an example that runs."""

import ast
import importlib
import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sonde as sd
from sonde._value import FUNCTIONS, KINDS, Value

ROOT = Path(sd.__file__).parent
FILES = sorted(file.relative_to(ROOT.parent) for file in ROOT.rglob("*.py"))
PACKAGES = [".".join(file.parts[:-1]) for file in FILES if file.name == "__init__.py"]
MODULES = [".".join(file.with_suffix("").parts) for file in FILES if not file.name.startswith("__")]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_the_namespace(name):
    package = importlib.import_module(name)
    names = {n for n, v in vars(package).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}
    told = {n for n in package.__all__ if not isinstance(getattr(package, n), types.ModuleType)}
    assert told == names
    assert len(set(package.__all__)) == len(package.__all__)


def test_every_folder_is_a_package():
    assert {".".join(file.parts[:-1]) for file in FILES} == set(PACKAGES)


def test_the_package_fits_one_screen():
    assert len((ROOT / "__init__.py").read_text().splitlines()) <= 120


def defined() -> Iterator[tuple[str, Any]]:
    """Every public class, function and method that the package defines, by its full name."""
    for name in [*PACKAGES, *MODULES]:
        module = importlib.import_module(name)
        yield name, module
        for n, thing in vars(module).items():
            if n.startswith("_") or getattr(thing, "__module__", None) != name:
                continue
            if inspect.isfunction(inspect.unwrap(thing)) if callable(thing) else False:
                yield f"{name}.{n}", thing
            elif inspect.isclass(thing):
                yield f"{name}.{n}", thing
                yield from ((f"{name}.{n}.{m}", v) for m, v in vars(thing).items() if is_method(m, v))


def is_method(name: str, thing: Any) -> bool:
    """Whether an attribute of a class is a public method or property."""
    plain = getattr(thing, "__func__", thing)
    kinds = types.FunctionType | property
    return not name.startswith("_") and (isinstance(plain, kinds) or hasattr(plain, "attrname"))


def test_everything_public_is_explained():
    silent = [name for name, thing in defined() if not (thing.__doc__ or "").strip()]
    assert not silent, "these say nothing: " + ", ".join(silent)


def test_explanations_begin_with_a_sentence():
    odd = []
    for name, thing in defined():
        first = (thing.__doc__ or "").strip().split("\n\n")[0]
        if first and not first.endswith((".", ":", "``", "!", "?", ")", "`", "]")):
            odd.append(f"{name}: {first!r}")
    assert not odd, "\n".join(odd)


def exemplary() -> dict[str, Any]:
    """Whatever must have an example: kinds of value, and functions that files know by name."""
    ours = lambda thing: (thing.__module__ or "").startswith("sonde.")
    kinds = {k.__name__: k for k in KINDS.values() if ours(k) and not k.__name__.startswith("_")}
    functions = {name: f for name, f in FUNCTIONS.items() if ours(f)}
    exported = {n: v for p in map(importlib.import_module, PACKAGES) for n in p.__all__
                if inspect.isclass(v := getattr(p, n)) and issubclass(v, Value)}  # fmt: skip
    return kinds | functions | exported


def test_every_value_has_an_example():
    lack = sorted(name for name, thing in exemplary().items() if ">>> " not in (thing.__doc__ or ""))
    assert not lack, f"{len(lack)} docstrings have no example: {', '.join(lack)}"


def test_examples_are_called_examples():
    wrong = []
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                if ">>> " in text and "Example:\n" not in text:
                    wrong.append(f"{file.relative_to(ROOT)}: {getattr(node, 'name', 'module')}")
    assert not wrong, "write 'Example:' above the examples of " + ", ".join(wrong)
