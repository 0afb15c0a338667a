"""What notebooks show: well-formed, complete, and never markup that came with the data."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._html import table

WICKED = "<script>alert('&')</script>"
ALONE = {"img"}


class Page(HTMLParser):
    """The tags, texts and pictures of a page; a tag that is not closed in order is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.pictures = [], set(), [], []
        self.feed(text)
        self.close()
        assert not self.open, f"{self.open} are not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ALONE:
            self.pictures.append(base64.b64decode(dict(attrs)["src"].removeprefix("data:image/png;base64,")))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    data = sd.data.Dataset.of(x, (x[:, 0] > 0).astype(int), labels=(WICKED, "b"))
    net = nn.Sequential(hidden=nn.Dense(4, nn.relu), head=nn.Dense(2))
    return sd.fit(net, data, sd.Classify(), sd.Adam(1e-2), epochs=2)


def test_a_table_escapes_every_cell_and_aligns_numbers():
    page = Page(shown := table(["<a>", "n"], [[WICKED, "1,234"], ["b & c", "5"]], "<i>"))
    assert page.texts == ["<i>", "<a>", "n", WICKED, "1,234", "b & c", "5"]
    assert page.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert shown.count("text-align: right") == 3  # the column of numbers with its head


def test_nothing_of_the_page_has_a_color_of_its_own(run):
    for thing in (run.network, run.artifact, run.data):
        styles = " ".join(re.findall(r'style="([^"]*)"', thing._repr_html_()))
        assert "#" not in styles and "color" not in styles and "background: none" in styles


def test_a_dataset_shows_its_columns_and_how_often_each_class_is_there(run):
    page = Page(run.data._repr_html_())
    assert WICKED in page.texts and "script" not in page.tags
    assert {"x", "float32[3]", "140", "30"} <= set(page.texts)
    at = page.texts.index(WICKED)
    counted = [int(n) for n in page.texts[at + 1 : at + 4]]
    assert counted == [int((part.y == 0).sum()) for part in run.data.splits.values()]


def test_many_classes_are_cut_short_and_numbers_are_not_counted():
    x = np.zeros((60, 2), np.float32)
    page = Page(sd.data.Dataset({"x": x, "y": np.arange(60) % 30})._repr_html_())
    assert "the first 20 of 30 classes" in page.texts and "19" in page.texts and "25" not in page.texts
    assert "class" not in Page(sd.data.Dataset({"x": x, "y": np.arange(60.0)})._repr_html_()).texts


def test_a_network_shows_its_layers_and_an_artifact_what_they_give(run):
    page = Page(run.network._repr_html_())
    assert page.texts == [
        *("layer", "kind", "parameters", "hidden", "Dense", "16", "head", "Dense", "10", "total", "26")
    ]
    page = Page(run.artifact._repr_html_())
    assert {"classes", "float32[3]", f"{WICKED}, b", "float32[1, 4]", "float32[1, 2]"} <= set(page.texts)


def test_what_came_from_a_table_shows_what_its_columns_are_taken_for_and_what_looks_odd():
    rows = [{"id": 7 + i, "size": 3.5 * (i * 37 % 60), "kind": "ab"[i % 2], WICKED: i % 3 / 2} for i in range(60)]
    data = sd.data.read(rows, target="kind")
    page = Page(data._repr_html_())
    assert set(data.encoder.summary()) | {f"look: {finding}" for finding in data.findings} <= set(page.texts)
    assert "column 'id' is left out: an identifier: consecutive whole numbers, each once" in " ".join(page.texts)
    encoder, inputs = data.encoder, {"shape": [2], "dtype": "float32", "low": 0.0, "high": 1.0}
    net = nn.build(nn.Dense(2), data.train.x[:1])
    page = Page(sd.Artifact(net, inputs, "classes", encoder.labels, encoder=encoder)._repr_html_())
    assert {text for line in encoder.lines() for text in line} <= set(page.texts)


def test_a_run_shows_how_it_ended_its_metrics_its_curves_and_its_decisions(run):
    page = Page(run._repr_html_())
    assert page.texts[0] == str(run).splitlines()[0]
    assert {"metric", "accuracy", str(run.evaluate("test")["accuracy"]), str(run.evaluate("valid")["accuracy"])} <= set(
        page.texts
    )
    assert set(run.decisions) <= set(page.texts)
    (picture,) = page.pictures
    assert picture.startswith(b"\x89PNG")


def test_pictures_show_one_below_the_other(run):
    assert len(Page(run.plot()._repr_html_()).pictures) == len(run.plot()) == 2
