"""Named data sets load as they were published, in parts that do not share rows."""

from __future__ import annotations

import numpy as np
import pytest

import sonde as sd
from sonde._errors import ArgumentError, SourceError
from sonde.data import named, sources


def images(rng, rows=200):
    """The columns of a set of small color images."""
    x, y = rng.integers(256, size=(rows, 4, 4, 3)).astype(np.uint8), (np.arange(rows) % 10).astype(np.int32)
    return {"train_x": x, "train_y": y, "test_x": x[:30], "test_y": y[:30]}


def test_a_tenth_of_the_training_images_of_cifar_is_for_validation(rng, monkeypatch):
    raw = images(rng)
    for_cifar = named._images(lambda: raw, sources.CIFAR10, held=1 / 10)
    monkeypatch.setitem(named.NAMED, "cifar10", for_cifar)
    data = sd.data.load("cifar10", seed=3)
    assert (data.train.rows, data.valid.rows, data.test.rows) == (180, 20, 30)
    assert np.bincount(data.valid.y).tolist() == [2] * 10 and data.labels == sources.CIFAR10
    np.testing.assert_array_equal(data.test.x, raw["test_x"])
    seen = np.concatenate([data.train.x, data.valid.x]).reshape(200, -1)
    np.testing.assert_array_equal(np.unique(seen, axis=0), np.unique(raw["train_x"].reshape(200, -1), axis=0))
    assert sd.data.load("cifar10", valid=0.0).valid is None


@pytest.mark.parametrize("name, columns, classes", [("iris", 4, 3), ("wine", 13, 3)])
def test_tables_of_scikit_learn_become_data_sets(name, columns, classes, seed):
    data = sd.data.load(name, seed=seed, valid=0.2, test=0.2)
    rows = 150 if name == "iris" else 178
    assert data.train.rows + data.valid.rows + data.test.rows == rows and data.classes == classes
    assert data.train.x.shape[1] == columns and abs(data.valid.rows - rows / 5) <= 1
    np.testing.assert_allclose(data.train.x.mean(0), 0, atol=1e-5)  # standardized by the training rows
    np.testing.assert_allclose(data.train.x.std(0), 1, atol=1e-3)
    assert np.bincount(data.test.y).min() >= 8  # the same mix of classes


def test_housing_becomes_numbers_without_a_gap():
    try:
        data = sd.data.load("california-housing")
    except SourceError as error:
        pytest.skip(f"the housing is not there: {error}")
    assert data.train.rows + data.valid.rows + data.test.rows == 20_640
    assert data.train.y.dtype == np.float32 and np.isfinite(data.train.x).all()
    assert data.encoder is not None and any("ocean_proximity" in name for name in data.encoder.features)


def test_the_quality_of_wine_is_a_number_not_a_class():
    try:
        data = sd.data.load("wine-quality")
    except SourceError as error:
        pytest.skip(f"the wines are not there: {error}")
    assert data.train.y.dtype == np.float32 and data.train.x.shape[1] == 11


@pytest.mark.parametrize("name", ["xor", "linear"])
def test_parts_that_are_given_cannot_be_chosen(name):
    with pytest.raises(ArgumentError, match=f"the parts of {name} are given; leave out valid and test"):
        sd.data.load(name, valid=0.1, test=0.1)


def test_a_name_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(ArgumentError, match="cifar10"):
        sd.data.load("cifar-10")


def test_what_the_explanation_lists_is_what_there_is():
    assert all(f"``{name}``" in (named.load.__doc__ or "") for name in named.NAMED)
