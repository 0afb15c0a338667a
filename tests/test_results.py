"""docs/results.json holds measurements, each with all that one needs to judge it."""

import datetime
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
FIELDS = {
    "settings": dict,
    "metrics": dict,
    "targets": list,
    "outcome": str,
    "seconds": dict,
    "seeds": list,
    "machine": dict,
    "versions": dict,
    "commit": str,
    "date": str,
    "recipe_sha256": str,
}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import record_results

    yield record_results
    sys.modules.pop("record_results")


def check(entry: dict[str, Any]) -> None:
    """Assert that an entry has the shape of one."""
    assert {name: type(value) for name, value in entry.items()} == FIELDS
    assert entry["seeds"] and all(isinstance(seed, int) for seed in entry["seeds"])
    assert entry["machine"].keys() >= {"cpu", "cores"} and entry["machine"].keys() <= {"cpu", "cores", "device"}
    assert entry["versions"].keys() >= {"python", "sonde", "jax", "optax", "numpy"}
    assert re.fullmatch(r"[0-9a-f]{7,40}(\+changes)?", entry["commit"])
    assert re.fullmatch(r"[0-9a-f]{64}", entry["recipe_sha256"])
    assert entry["seconds"].keys() == {"compile", "train", "total"}
    datetime.date.fromisoformat(entry["date"])
    for target in entry["targets"]:
        assert target.keys() == {"name", "wanted", "reached", "met"}
        assert target["reached"] is not None, f"{target['name']} was not measured"
        assert isinstance(target["met"], bool)
    for group in entry["metrics"].values():
        assert all(math.isfinite(value) for value in group.values())
    assert not re.search(r"(/home|/root|/tmp|/work|[A-Z]:\\)", json.dumps(entry)), "an entry names no folder"


def test_every_entry_has_the_shape_of_one(recorder):
    for entry in json.loads((DOCS / "results.json").read_text()).values():
        check(entry)


def test_stale_entries_are_reported(recorder, record_property):
    for name, why in recorder.stale().items():
        record_property("summary", f"docs/results.json: {name} is stale, {why}; run docs/record_results.py {name}")


def test_a_recipe_can_be_recorded(recorder, tmp_path, monkeypatch, capsys):
    results = tmp_path / "results.json"
    results.write_text("{}")
    monkeypatch.setattr(recorder, "RESULTS", results)
    monkeypatch.setattr(recorder, "commit", lambda: "0123abc")
    assert recorder.main(["linear-regression", "--set", "epochs=1", "--set", "repeats=2", "--seed", "7"]) == 0
    entries = json.loads(results.read_text())
    check(entries["linear-regression"])
    assert entries["linear-regression"]["settings"]["epochs"] == 1
    assert entries["linear-regression"]["seeds"] == [7, 8]
    assert "largest error of w and b" in capsys.readouterr().out
    assert recorder.stale() == {}

    entries["linear-regression"]["recipe_sha256"] = "0" * 64
    entries["gone"] = entries["linear-regression"]
    results.write_text(json.dumps(entries))
    assert recorder.stale().keys() == {"linear-regression", "gone"}
