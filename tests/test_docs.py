"""The pages hang together: all are in the site, links lead somewhere, and commands would be understood.

That their Python blocks run is tested by conftest.py beside the README.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def listed(entry: Any) -> Iterator[str]:
    """The files that the site's table of contents names."""
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from listed(part)


def test_every_page_is_in_the_site(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import build

    try:
        assert sorted(listed(build.PAGES)) == sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md"))
    finally:
        del sys.modules["build"]


def test_the_site_can_be_built(monkeypatch, tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is in the group docs")
    monkeypatch.syspath_prepend(str(DOCS))
    import build

    try:
        monkeypatch.setitem(build.SETTINGS, "site_dir", str(tmp_path / "site"))
        assert build.main() == 0
        assert (tmp_path / "site" / "guide" / "data.html").exists()
    finally:
        del sys.modules["build"]


@page
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name} links to {link}"


@page
def test_paths_that_are_named_exist(page):
    for path in re.findall(r"`((?:src|tests|docs|benchmarks)/[^`\s*:]+)", page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def commands(page: Path) -> list[str]:
    """What the console blocks of a page have people type after ``sonde``, however the command is reached."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    each = [part.strip() for line in lines for part in line.split("&&")]
    return [part.removeprefix(".venv/bin/") for part in each if part.removeprefix(".venv/bin/").startswith("sonde ")]


@page
def test_commands_would_be_understood(page):
    from sonde.cli import app

    for command in commands(page):
        app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


def test_there_are_commands_and_a_wrong_one_is_not_understood():
    import cyclopts

    from sonde.cli import app

    assert commands(ROOT / "README.md") and len(commands(DOCS / "guide" / "command-line.md")) > 5
    with pytest.raises(cyclopts.CycloptsError):
        app.parse_args(["train", "digits", "--sed", "3"], exit_on_error=False, print_error=False)


@page
def test_nothing_of_one_machine_is_on_a_page(page):
    found = re.findall(r"(/home/|/root/|/work/|/tmp/)\S*", page.read_text())
    assert not found


def test_the_page_of_toml_files_is_what_the_code_says(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import toml_schema

    assert toml_schema.PAGE.read_text() == toml_schema.page(), "run python docs/toml_schema.py"
