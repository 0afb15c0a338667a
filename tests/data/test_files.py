"""A dataset in a folder: what is written is what is opened, whole or not at all, and damage is told."""

import json

import numpy as np
import pytest

import sonde as sd
from sonde import Padded
from sonde._errors import ArgumentError, DataError, FormatError, SourceError
from sonde.data.files import CARD


def parts(rng, rows=(5, 1, 7)):
    return [{"x": rng.normal(size=(n, 2, 3)), "y": rng.integers(0, 3, n)} for n in rows]


def test_what_is_written_part_after_part_is_opened_as_one(rng, tmp_path):
    given = parts(rng)
    folder = sd.data.write(tmp_path / "new" / "data", iter(given), labels="abc")
    sd.data.write(folder, parts(rng, (4,)), "test")
    data = sd.data.open_folder(folder, chunk=6)
    np.testing.assert_array_equal(data.train.x, np.concatenate([p["x"] for p in given]).astype(np.float32))
    np.testing.assert_array_equal(data.train.y, np.concatenate([p["y"] for p in given]))
    assert (data.train.rows, data.test.rows, data.labels, data.chunk) == (13, 4, ("a", "b", "c"), 6)
    assert isinstance(data.train.x, np.memmap)
    np.testing.assert_array_equal(np.load(folder / "train" / "x.npy"), data.train.x)  # a plain file of NumPy
    assert data.train.range("x") == (float(data.train.x.min()), float(data.train.x.max()))


def test_a_whole_dataset_comes_back(tmp_path):
    words = Padded.of([[1, 2], [3], [4, 5, 6]])
    whole = sd.data.Dataset(
        train={"x": words, "y": [0, 1, 0]}, valid={"x": words[:2], "y": [1, 1]}, labels=("no", "yes")
    )
    data = sd.data.open_folder(sd.data.write(tmp_path, whole))
    assert data.labels == ("no", "yes")
    np.testing.assert_array_equal(data.train.x.values, words.values)
    np.testing.assert_array_equal(data.valid.x.lengths, [2, 1])


def test_parts_that_differ_are_refused_and_nothing_is_left(rng, tmp_path):
    first = parts(rng)[0]
    for odd, said in (
        ({"x": first["x"], "y": rng.normal(size=5)}, "column 'y' of part 1 .* float32"),
        ({"x": first["x"][:, :1], "y": first["y"]}, "column 'x' of part 1"),
        ({"x": first["x"]}, "part 1 .* differs in its columns: .'y'."),
        ({"x": first["x"] * np.nan, "y": first["y"]}, "part 1 .*'x'.* NaN"),
    ):
        with pytest.raises(DataError, match=said):
            sd.data.write(tmp_path / "data", [first, odd])
        assert not list((tmp_path / "data").iterdir())
    with pytest.raises(DataError, match="no parts"):
        sd.data.write(tmp_path / "data", [])
    with pytest.raises(DataError, match="cannot be a file"):
        sd.data.write(tmp_path / "data", [{"../x": [1.0]}])


def test_a_split_is_not_written_over(rng, tmp_path):
    sd.data.write(tmp_path, parts(rng))
    with pytest.raises(ArgumentError, match="a train split in .* already"):
        sd.data.write(tmp_path, parts(rng))
    with pytest.raises(ArgumentError, match="split must be one of"):
        sd.data.write(tmp_path, parts(rng), "tests")


def test_damage_is_told(rng, tmp_path):
    def fresh(name):
        return sd.data.write(tmp_path / name, parts(rng))

    with pytest.raises(SourceError, match="no folder"):
        sd.data.open_folder(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="not the folder of a dataset"):
        sd.data.open_folder(tmp_path)
    for i, (change, said) in enumerate([
        (lambda card: card.update(format=99), "upgrade"),
        (lambda card: card.pop("labels"), "does not describe"),
        (lambda card: card["splits"].update(other={}), "splits"),
        (lambda card: card["splits"].pop("train"), "no train split"),
        (lambda card: card["splits"]["train"].pop("padded"), "damaged"),
        (lambda card: card["splits"]["train"]["columns"]["y"].update(dtype="float32"), "is not what"),
        (lambda card: card["splits"]["train"]["columns"]["y"].update(range=[1]), "damaged"),
    ]):  # fmt: skip
        folder = fresh(str(i))
        card = json.loads((folder / CARD).read_text())
        change(card)
        (folder / CARD).write_text(json.dumps(card))
        with pytest.raises(FormatError, match=said):
            sd.data.open_folder(folder)
    folder = fresh("cut")
    file = folder / "train" / "x.npy"
    whole = file.read_bytes()
    for cut in (0, 5, 90, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(FormatError, match="truncated or damaged"):
            sd.data.open_folder(folder)
    file.unlink()
    with pytest.raises(SourceError, match="no file"):
        sd.data.open_folder(folder)


def test_the_fingerprint_of_files_sees_another_row_and_another_chunk(rng, tmp_path):
    x = rng.integers(0, 255, (2000, 3)).astype(np.uint8)
    marks = {}
    for name, change in (("same", 0), ("again", 0), ("other", 1)):
        folder = sd.data.write(tmp_path / name, [{"x": x + np.uint8(change)}])
        marks[name] = sd.data.open_folder(folder).fingerprint
    assert marks["same"] == marks["again"] != marks["other"]
    assert sd.data.open_folder(tmp_path / "same", chunk=100).fingerprint != marks["same"]


def test_maps_of_ones_own_are_checked_at_the_door(rng, tmp_path):
    x = rng.normal(size=(50, 4)).astype(np.float32)
    x[31, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match="first row 31"):
        sd.data.Dataset(train={"x": np.load(tmp_path / "x.npy", mmap_mode="r")})
