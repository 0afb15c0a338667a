"""The package keeps its shape: imports point one way, nothing goes in circles, importing it is cheap."""

import ast
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src" / "sonde"

RANKS = (
    *("_types", "_errors", "_html", "_tree", "_value", "_random", "_store", "_batch"),  # each may use those before it
    ("data", "nn", "objectives", "optim"),  # siblings: none uses another
    "train",
    ("artifact", "diagnose", "sparse", "progress", "tracking"),
    "folder",
    "run",
    "decisions",
    "fitting",
    "bagging",
    "recipes",
    "cli",
    "__main__",
)
"""What is in the package, from the bottom up: a module uses what stands before its line, and itself."""

USE_THE_ROOT = {"recipes"}
"""Who may `import sonde`, as a user does."""

HEAVY = ("sklearn", "matplotlib", "PIL", "rich", "cyclopts", "polars", "pandas", "mlflow", "tensorboardX", "torch")
"""What `import sonde` must not import: it is imported where it is used."""

NEVER = {"torch", "pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
"""What no module imports: a 5 GB dependency, and what can run code that is in a file."""


def rank_of() -> dict[str, int]:
    """The rank of each part of the package, by name."""
    levels = [(level,) if isinstance(level, str) else level for level in RANKS]
    return {name: rank for rank, level in enumerate(levels) for name in level}


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part_of(file: Path) -> str:
    """The part that a file belongs to: ``nn`` for nn/dense.py, ``run`` for run.py, ``__init__`` for the root."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def module_of(file: Path) -> str:
    """A file's name as it is imported: ``sonde.nn.dense``, and ``sonde.nn`` for nn/__init__.py."""
    parts = [ROOT.name, *file.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> Iterator[tuple[str, str | None]]:
    """What a file imports, wherever in it the import stands: a module, and a name in it if one is given."""
    package = (ROOT.name, *file.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join(filter(None, (*above, node.module)))
            yield from ((module, alias.name) for alias in node.names)


def uses(file: Path) -> set[str]:
    """The modules of the package that a file imports; ``from sonde.nn import dense`` is sonde.nn.dense."""
    modules = {module_of(f) for f in files()}
    found = set()
    for module, name in imports(file):
        if module.partition(".")[0] == ROOT.name:
            inner = f"{module}.{name}"
            found.add(inner if inner in modules else module)
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Some modules that import each other in a circle, or nothing."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for below in sorted(graph.get(module, ())):
                if found := walk(below, [*path, module]):
                    return found
            done.add(module)
        return []

    return next(filter(None, (walk(module, []) for module in sorted(graph))), [])


def test_every_part_has_a_rank():
    assert {part_of(file) for file in files()} - {"__init__"} == set(rank_of())


def test_imports_point_one_way():
    rank, wrong = rank_of(), []
    for file in files():
        me = part_of(file)
        if me == "__init__":
            continue
        for module in sorted(uses(file)):
            you = (module.split(".") + [""])[1]
            if you == me or (not you and me in USE_THE_ROOT):
                continue
            if not you or rank[you] >= rank[me]:
                wrong.append(f"{file.relative_to(ROOT)} imports {module}")
    assert not wrong, "these imports point up or sideways:\n  " + "\n  ".join(wrong)


def test_no_imports_in_circles():
    found = circle({module_of(file): uses(file) for file in files()})
    assert not found, " -> ".join(found)


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_nothing_imports_what_is_banned():
    found = {
        f"{file.relative_to(ROOT)} imports {module}"
        for file in files()
        for module, _ in imports(file)
        if module.partition(".")[0] in NEVER
    }
    assert not found


def fresh(program: str, **environment: str) -> str:
    """What a program prints in a process of its own."""
    ours = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", ""), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=ours | environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_loads_nothing_heavy():
    assert fresh(f"import sonde, sys; print(*(m for m in {HEAVY} if m in sys.modules))") == ""


def test_importing_it_changes_no_setting_of_jax():
    program = "import jax, optax; before = dict(jax.config.values); import sonde; print(before == jax.config.values)"
    assert fresh(program) == "True"


def test_importing_it_costs_what_jax_and_optax_cost(tmp_path):
    allowed, ratio = 1.1, float("inf")

    def seconds(what: str) -> float:  # of the processor: what else the machine does counts less
        # without the collector, which goes through all of JAX at a moment of its own, in whatever is then imported
        clock = "time.process_time()"
        program = f"import gc, time; gc.disable(); t = {clock}; import {what}; print({clock} - t)"
        return float(fresh(program, PYTHONPYCACHEPREFIX=str(tmp_path)))

    seconds("sonde")  # the first import compiles to bytecode
    for _ in range(5):  # the machine may be busy with something else
        pairs = [(seconds("jax, optax"), seconds("sonde")) for _ in range(5)]
        theirs, ours = (statistics.median(each) for each in zip(*pairs, strict=True))
        ratio = min(ratio, ours / theirs)
        if ratio <= allowed:
            return
    raise AssertionError(f"importing sonde costs {ratio:.2f} times what importing jax and optax costs")
