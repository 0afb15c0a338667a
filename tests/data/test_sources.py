"""Named data sets are the published ones: their sizes, their classes, known numbers of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonde._errors import ArgumentError, SourceError
from sonde.data import formats, sources
from sonde.data.fetching import Source

ROOT = Path(__file__).parents[2]


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def there():
    """Skips, and says why, where a file of the real data cannot be found; else the folder it is in."""

    def asked(*files):
        given = os.environ.get("SONDE_DATA")
        if not given or not all((Path(given) / file).is_file() for file in files):
            pytest.skip(f"not in $SONDE_DATA: {', '.join(files)}")
        return Path(given)

    return asked


# Images


@pytest.mark.parametrize(
    "name, mean, std, first",
    [("mnist", 0.1307, 0.3081, [5, 0, 4, 1, 9]), ("fashion_mnist", 0.2860, 0.3530, [9, 0, 0, 3, 0])],
)
def test_the_published_images(name, mean, std, first, there):
    there(*(f"{name}/{file}" for file in sources.IDX.values()))
    found = getattr(sources, name)()
    assert found["train_x"].shape == (60_000, 28, 28) and found["test_x"].shape == (10_000, 28, 28)
    assert found["train_y"].shape == (60_000,) and found["test_y"].shape == (10_000,)
    assert {k: v.dtype.name for k, v in found.items()} == dict(
        train_x="uint8", train_y="int32", test_x="uint8", test_y="int32"
    )
    assert abs(found["train_x"].mean() / 255 - mean) < 5e-5 and abs(found["train_x"].std() / 255 - std) < 5e-5
    assert found["train_y"][:5].tolist() == first
    assert (np.bincount(found["test_y"]) > 850).all() and found["test_y"].max() == 9


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


@pytest.mark.usefixtures("elsewhere")
def test_images_of_four_files_are_downloaded_and_read(serve, monkeypatch):
    random = np.random.default_rng(0)
    x, y = random.integers(256, size=(6, 28, 28)).astype(np.uint8), random.integers(10, size=6).astype(np.uint8)
    columns = {"train_x": x, "train_y": y, "test_x": x[:3], "test_y": y[:3]}
    files = {sources.IDX[name]: idx(column) for name, column in columns.items()}
    source = Source("small", (serve(files).at("good"),), {name: sha(data) for name, data in files.items()})
    monkeypatch.setattr(sources, "MNIST", source)
    found = sources.mnist()
    assert found.keys() == columns.keys() and found["train_y"].dtype == np.int32
    assert all((found[name] == column).all() for name, column in columns.items())


def cifar_archive(rng):
    """The archive of CIFAR-10 with three pictures a file, and the labels in it."""
    made, labels = io.BytesIO(), {}
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
            labels[name] = rng.integers(10, size=3)
            data = b"".join(bytes([label]) + rng.bytes(3072) for label in labels[name])
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue(), labels


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("fails", ["404", "stops", "lies"])
def test_cifar_is_downloaded_whole_or_not_at_all(fails, serve, rng, monkeypatch, tmp_path):
    name = "cifar-10-binary.tar.gz"
    assert list(sources.CIFAR10_BINARY.files) == [name]
    data, labels = cifar_archive(rng)
    server = serve({name: data})
    source = lambda *behaviors: Source("cifar10", tuple(map(server.at, behaviors)), {name: sha(data)})
    monkeypatch.setattr(sources, "CIFAR10_BINARY", source(fails))
    with pytest.raises(SourceError, match="no mirror has it"):
        sources.cifar10()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    monkeypatch.setattr(sources, "CIFAR10_BINARY", source(fails, "good"))
    found = sources.cifar10()
    assert found["train_x"].shape == (15, 32, 32, 3) and found["train_y"].dtype == np.int32
    assert found["train_y"].tolist() == [y for i in range(1, 6) for y in labels[f"data_batch_{i}"]]
    assert found["test_y"].tolist() == labels["test_batch"].tolist()


def test_the_jpeg_copies_of_cifar_show_the_same_as_the_originals(there, tmp_path):
    """The first 300 of each split against original pixels: what the loss of a JPEG of this quality is, and no more."""
    folder = there("cifar10/cifar10_jpeg.npz", "cifar10/cifar10_lossless_subset.npz") / "cifar10"
    few = {}
    with np.load(sources.CIFAR10_JPEG.find("cifar10_jpeg.npz")) as whole:
        assert tuple(whole["class_names"]) == sources.CIFAR10
        assert len(whole["train_labels"]) == 50_000 and np.bincount(whole["test_labels"]).tolist() == [1000] * 10
        for split in ("train", "test"):
            ends = whole[f"{split}_offsets"][:301]
            few |= {f"{split}_jpeg": whole[f"{split}_jpeg"][: ends[-1]], f"{split}_offsets": ends}
            few |= {f"{split}_labels": whole[f"{split}_labels"][:300]}
    np.savez(tmp_path / "few.npz", **few)
    found = formats.jpegs(tmp_path / "few.npz")
    with np.load(folder / "cifar10_lossless_subset.npz") as exact:
        for split in ("train", "test"):
            wrong = np.square(found[f"{split}_x"] - exact[f"x_{split}"][:300].astype(float)).mean((1, 2, 3))
            decibels = 10 * np.log10(255**2 / wrong)
            assert (found[f"{split}_y"] == exact[f"y_{split}"][:300]).all()
            assert decibels.min() > 23 and 26 < decibels.mean() < 34  # a picture of another place has some 10


@pytest.mark.usefixtures("elsewhere")
def test_the_jpeg_copies_cannot_be_downloaded():
    with pytest.raises(SourceError, match="cannot be downloaded.*SONDE_DATA"):
        sources.cifar10_jpeg()


# Tables


def test_the_published_housing(there):
    there("tabular/california_housing.csv")
    table = sources.california_housing()
    assert len(table) == 10 and {len(column) for column in table.values()} == {20_640}
    missing = {name: int(np.isnan(c).sum()) for name, c in table.items() if c.dtype == np.float64}
    assert missing.pop("total_bedrooms") == 207 and not any(missing.values()) and len(missing) == 8
    words, counts = np.unique(table["ocean_proximity"].astype(str), return_counts=True)
    assert dict(zip(words, counts.tolist(), strict=True)) == {
        "<1H OCEAN": 9136, "INLAND": 6551, "ISLAND": 5, "NEAR BAY": 2290, "NEAR OCEAN": 2658
    }  # fmt: skip
    price = table["median_house_value"]
    assert price.max() == 500_001 and (price > 500_000).sum() == 965 and round(price.mean()) == 206_856


def test_the_published_wines(there):
    there("tabular/winequality-red.csv")
    table = sources.wine_quality()
    assert tuple(table) == sources.WINE_QUALITY and len(table["pH"]) == 1599
    assert np.bincount(table["quality"]).tolist() == [0, 0, 0, 10, 53, 681, 638, 199, 18]
    assert abs(table["alcohol"].mean() - 10.423) < 1e-3 and not any(np.isnan(c).any() for c in table.values())


def test_the_published_text_messages(there):
    there("text/sms_spam.tsv")
    table = sources.sms_spam()
    kinds, counts = np.unique(table["kind"], return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {"ham": 4827, "spam": 747}
    assert table["text"][1] == "Ok lar... Joking wif u oni..." and all(table["text"])


@pytest.mark.usefixtures("elsewhere")
def test_tables_are_downloaded_from_files_of_other_names(serve, monkeypatch):
    housing, wine = b"rooms,proximity\n3,NEAR BAY\n,\n", b"7.4,1.5\n6.1,2\n"
    server = serve({"housing.csv": housing, "wine.csv": wine})
    made = lambda path, ours, data: Source("tabular", (server.at("good") + path,), {ours: sha(data)})
    monkeypatch.setattr(sources, "HOUSING", made("housing.csv", "california_housing.csv", housing))
    table = sources.california_housing()
    np.testing.assert_array_equal(table["rooms"], [3, np.nan])
    assert table["proximity"].tolist() == ["NEAR BAY", None]
    monkeypatch.setattr(sources, "RED_WINE", made("wine.csv", "winequality-red.csv", wine))
    monkeypatch.setattr(sources, "WINE_QUALITY", ("acidity", "quality"))
    assert {name: c.tolist() for name, c in sources.wine_quality().items()} == {
        "acidity": [7.4, 6.1], "quality": [1.5, 2.0]
    }  # fmt: skip


def test_mirrors_of_other_names_are_whole_addresses():
    (housing,) = sources.HOUSING.mirrors
    assert housing.endswith("/housing.csv") and list(sources.HOUSING.files) == ["california_housing.csv"]


def test_the_flowers_and_wines_of_scikit_learn():
    from sklearn.datasets import load_iris, load_wine

    raws: tuple[Any, Any] = load_iris(), load_wine()
    tables = (sources.iris(), "species"), (sources.wine(), "cultivar")
    for (table, target), raw in zip(tables, raws, strict=True):
        assert list(table) == [*raw.feature_names, target]
        np.testing.assert_array_equal(np.stack([table[name] for name in raw.feature_names], 1), raw.data)
        assert table[target].tolist() == [raw.target_names[i] for i in raw.target]
    assert sources.iris()["species"][0] == "setosa" and np.unique(sources.iris()["species"].astype(str)).size == 3


# Small sets


def test_digits_are_those_of_scikit_learn():
    found = sources.digits()
    assert found["x"].shape == (1797, 8, 8) and found["x"].dtype == np.float32
    assert found["x"].min() == 0 and found["x"].max() == 16
    assert found["y"].dtype == np.int32 and sorted(set(found["y"])) == list(range(10))
    assert found["labels"] == tuple("0123456789")


def test_linear_data_has_the_line_it_was_made_with():
    """Least squares finds weights and bias within five standard errors, and the noise that was added."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    made = sources.linear(rows=2000, noise=0.5, seed=seed)
    assert made["x"].shape == (2000, 2) and made["x"].dtype == made["y"].dtype == np.float32
    design = np.column_stack([made["x"], np.ones(2000)]).astype(float)
    found, squares, *_ = np.linalg.lstsq(design, made["y"].astype(float))
    np.testing.assert_allclose(found, [2.0, -3.4, 4.2], atol=5 * 0.5 / np.sqrt(2000))
    assert abs(np.sqrt(squares[0] / 1997) - 0.5) < 5 * 0.5 / np.sqrt(2 * 2000)


def test_linear_data_is_a_function_of_its_arguments():
    a, b, c = sources.linear(), sources.linear(), sources.linear(seed=1)
    assert all((a[k] == b[k]).all() for k in a) and (a["x"] != c["x"]).any()
    assert sources.linear(rows=5, weights=[1.0, 2.0, 3.0])["x"].shape == (5, 3)
    with pytest.raises(ArgumentError, match="rows=0"):
        sources.linear(rows=0)


def test_no_line_separates_xor():
    data = sources.xor()
    assert data["x"].dtype == np.float32 and data["y"].dtype == np.int32
    assert {tuple(x): y for x, y in zip(data["x"], data["y"], strict=True)} == {
        (a, b): a ^ b for a in (0, 1) for b in (0, 1)
    }
    design = np.column_stack([data["x"], np.ones(4)])
    assert np.allclose(np.linalg.lstsq(design, data["y"])[0], [0, 0, 0.5])  # the best line says nothing


def test_importing_brings_no_network_and_no_scikit_learn():
    program = (
        "import sys, sonde._store; before = set(sys.modules); import sonde.data.sources as s\n"
        "heavy = {'sklearn', 'platformdirs', 'urllib.request', 'http.client'}\n"
        "print(*(heavy & sys.modules.keys() - before))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == ""
