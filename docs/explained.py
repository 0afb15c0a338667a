"""Runs the pages that explain (docs/explain), section by section: python docs/explained.py redraws their pictures.

A page's blocks run in order, in one namespace and in a folder of their own, where they put their pictures into
pictures/. A section is what follows a heading `## ...`; tests/test_explained.py has a test for each.
"""

from __future__ import annotations

import contextlib
import doctest
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

PAGES = sorted((Path(__file__).parent / "explain").glob("*.md"))
PICTURES = Path(__file__).parent / "explain" / "pictures"


class Section(NamedTuple):
    """A heading with what stands under it."""

    page: Path
    name: str
    """The heading in lower case with dashes; "" is what stands before the first."""

    lines: range
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.name}"


def sections(page: Path) -> list[Section]:
    """The sections of a page that have Python in them."""
    found, text = [], page.read_text()
    heads = [(0, ""), *((m.start(), m[1]) for m in re.finditer(r"^## (.*)$", text, re.MULTILINE)), (len(text), "")]
    for (start, head), (end, _) in zip(heads, heads[1:], strict=False):
        first, last = 1 + text.count("\n", 0, start), 1 + text.count("\n", 0, end)
        name = "-".join(re.findall(r"[a-z0-9]+", head.lower()))
        if "```python" in text[start:end]:
            found.append(Section(page, name, range(first, last), text[start:end]))
    return found


def run(page: Path, folder: Path) -> dict[str, BaseException]:
    """Run a page in a folder; what went wrong, by section. What follows a mistake has nothing to stand on."""
    failed: dict[str, BaseException] = {}
    document = Document.parse(str(page), PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS))
    parts = sections(page)
    with contextlib.chdir(folder):
        for example in document:
            where = next(part.name for part in parts if example.line in part.lines)
            try:
                if failed:
                    raise RuntimeError(f"a block before this one failed, in {list(failed)[0]!r}")
                example.evaluate()
            except BaseException as error:
                failed.setdefault(where, error)
    return failed


def pictures(page: Path) -> list[str]:
    """The names of the pictures that a page shows."""
    return re.findall(r"!\[[^\]]*\]\(pictures/([^)]+)\)", page.read_text())


def main() -> None:
    """Redraw every picture."""
    for page in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            for name, error in run(page, Path(folder)).items():
                raise SystemExit(f"{page.stem}, section {name!r}: {error}")
            PICTURES.mkdir(exist_ok=True)
            for name in pictures(page):
                shutil.copy(Path(folder) / "pictures" / name, PICTURES / name)
                print(PICTURES / name)


if __name__ == "__main__":
    main()
