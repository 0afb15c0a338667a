"""Pages that explain are proofs: every section of docs/explain runs, says something that could be wrong, and draws
the pictures that the page shows."""

import functools
import importlib.util
import re
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("explained", ROOT / "docs" / "explained.py")
explained = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(explained)

PAGES = explained.PAGES
SECTIONS = [part for page in PAGES for part in explained.sections(page)]


@functools.cache
def ran(page):
    """What went wrong on a page, by section, and the folder that it ran in. Broadcasting is as users have it."""
    folder = tempfile.TemporaryDirectory(prefix="sonde-page-")
    with jax.numpy_rank_promotion("allow"):
        return explained.run(page, Path(folder.name)), folder


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_a_section_holds(section):
    failed, _ = ran(section.page)
    if section.name in failed:
        raise failed[section.name]


@pytest.mark.parametrize("section", [s for s in SECTIONS if s.name], ids=str)
def test_a_section_says_something_that_could_be_wrong(section):
    assert re.search(r"^ *(assert |np\.testing\.assert_|close\(|>>> )", section.text, re.MULTILINE)


def coarse(path):
    """A picture as a grid of mean colors: what one sees of it, whatever draws the letters."""
    image = Image.open(path).convert("RGB")
    return image.size, np.asarray(image.resize((12, 8), Image.Resampling.BOX), np.float64) / 255


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_pictures_of_a_page_are_those_it_draws(page):
    _, folder = ran(page)
    drawn = Path(folder.name) / "pictures"
    assert sorted(explained.pictures(page)) == sorted(p.name for p in drawn.glob("*"))
    for name in explained.pictures(page):
        (size, shades), (same_size, same) = coarse(drawn / name), coarse(explained.PICTURES / name)
        assert size == same_size, f"run python docs/explained.py: {name} has changed"
        np.testing.assert_allclose(shades, same, atol=0.05, err_msg=f"run python docs/explained.py: {name} has changed")


def test_no_picture_is_left_over():
    shown = {name for page in PAGES for name in explained.pictures(page)}
    assert {p.name for p in explained.PICTURES.glob("*")} == shown


def test_a_page_that_is_wrong_is_found(tmp_path):
    page = tmp_path / "wrong.md"
    page.write_text("""
```python
x = 1
```

## One

```python
assert x == 1
```

## Two things

```python
>>> x + 1
3
```

## Three

```python
assert x == 1
```
""")
    assert [part.name for part in explained.sections(page)] == ["", "one", "two-things", "three"]
    failed = explained.run(page, tmp_path)
    assert list(failed) == ["two-things", "three"]
    assert "a block before this one failed" in str(failed["three"])
