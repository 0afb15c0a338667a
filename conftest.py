"""The guide and the docstrings are tests: every Python block of every page runs, in order, page by page.

What a page does to files it does in a folder of its own. Unlike the tests, pages and docstrings are written as
users write, so broadcasting is as JAX has it.
"""

import contextlib
import doctest
import tempfile
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser

HERE = Path(__file__).parent
_open = contextlib.ExitStack()


def _begin(namespace: dict) -> None:
    folder = _open.enter_context(tempfile.TemporaryDirectory(prefix="sonde-page-", ignore_cleanup_errors=True))
    _open.enter_context(contextlib.chdir(folder))
    _open.enter_context(as_users_have_it())


def _end(namespace: dict) -> None:
    _open.close()


@contextlib.contextmanager
def as_users_have_it():
    """JAX's own rule of broadcasting."""
    import jax  # not before tests/conftest.py has said what for

    with jax.numpy_rank_promotion("allow"):
        yield


pages = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS)],
    path=str(HERE),
    patterns=["README.md", "docs/*.md", "docs/guide/*.md"],
    setup=_begin,
    teardown=_end,
)
pytest_collect_file = pages.pytest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The blocks of a page belong together, in their order, however tests are shuffled."""
    blocks: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if isinstance(item, SybilItem):
            blocks.setdefault(item.path, []).append(item)
    ordered: list[pytest.Item] = []
    for item in items:
        if not isinstance(item, SybilItem):
            ordered.append(item)
        elif item.path in blocks:
            ordered += sorted(blocks.pop(item.path), key=lambda block: block.example.line)
    items[:] = ordered


@pytest.fixture(autouse=True)
def _as_users_write(request: pytest.FixtureRequest):
    if isinstance(request.node, pytest.DoctestItem):
        with as_users_have_it():
            yield
    else:
        yield


@pytest.fixture(autouse=True, scope="session")
def _not_of_the_package(doctest_namespace: dict) -> None:
    doctest_namespace["__name__"] = "__main__"  # a class made in a docstring is a user's, not one of Sonde's
