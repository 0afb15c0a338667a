"""Named data sets as `Dataset`s, ready to train on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from sonde._errors import ArgumentError, nearest
from sonde.data import sources
from sonde.data.dataset import Dataset
from sonde.data.reading import read
from sonde.data.splitting import split_rows
from sonde.data.tables import Table


def load(name: str, *, seed: int = 0, valid: float | None = None, test: float | None = None) -> Dataset:
    """A named data set, split.

    Part of scikit-learn: ``digits`` (8x8 handwritten digits), ``iris`` and ``wine`` (a few measurements each). Read
    from ``$SONDE_DATA`` or the cache, else downloaded: ``mnist`` and ``fashion-mnist`` (28x28), ``cifar10`` (32x32
    in color), ``california-housing`` (numbers and a word), ``wine-quality`` and ``sms-spam`` (texts). Made here:
    ``linear`` (synthetic) and ``xor`` (four points). ``cifar10-jpeg``, copies of CIFAR-10 that lost about ten points of
    accuracy to compression, is read from ``$SONDE_DATA`` only. `sonde.data.sources` has all as they were published.

    Args:
        name: which.
        seed: which rows go into which split, where the split is not given by the source.
        valid: the fraction of the training rows for validation; of all rows, where the source gives no test rows.
        test: the fraction of rows for testing, where the source does not give them.

    Raises:
        ArgumentError: no data set is called so, or its parts are given.
        SourceError: its files can be had nowhere.

    Example:
        >>> import sonde as sd
        >>> print(sd.data.load("digits"))
        Dataset
          train: 1,168 rows of x float32[8, 8], y int32
          valid: 270 rows of x float32[8, 8], y int32
          test: 359 rows of x float32[8, 8], y int32
    """
    if name not in NAMED:
        raise ArgumentError(f"no data set is called {name!r}{nearest(name, NAMED)}")
    given = {k: v for k, v in (("valid", valid), ("test", test)) if v is not None}
    if fixed := [part for part in given if part not in inspect.signature(NAMED[name]).parameters]:
        raise ArgumentError(f"the parts of {name} are given; leave out {' and '.join(fixed)}")
    return NAMED[name](seed=seed, **given)


def _digits(seed: int, valid: float = 0.15, test: float = 0.2) -> Dataset:
    raw = sources.digits()
    return Dataset.of(raw["x"], raw["y"], valid=valid, test=test, seed=seed, labels=raw["labels"])


def _images(read: Callable[[], dict[str, np.ndarray]], names: tuple[str, ...], held: float) -> Callable[..., Dataset]:
    """Images whose test rows are given; ``held`` of the others are for validation if nothing is said."""

    def made(seed: int, valid: float = held) -> Dataset:
        raw = read()
        rows = split_rows(len(raw["train_y"]), {"valid": valid}, seed, raw["train_y"])
        part = lambda at: {"x": raw["train_x"][at], "y": raw["train_y"][at]}
        chosen: dict[str, Any] = {"valid": part(rows["valid"])} if len(rows["valid"]) else {}
        return Dataset(part(rows["train"]), test={"x": raw["test_x"], "y": raw["test_y"]}, labels=names, **chosen)

    return made


def _table(source: Callable[[], Table], target: str, task: str) -> Callable[..., Dataset]:
    """A table of which ``target`` is told from the other columns."""

    def made(seed: int, valid: float = 0.15, test: float = 0.15) -> Dataset:
        return read(source(), target, task=task, valid=valid, test=test, seed=seed)

    return made


NAMED: dict[str, Callable[..., Dataset]] = {
    "california-housing": _table(sources.california_housing, "median_house_value", "numbers"),
    "cifar10": _images(sources.cifar10, sources.CIFAR10, held=1 / 10),
    "cifar10-jpeg": _images(sources.cifar10_jpeg, sources.CIFAR10, held=1 / 10),
    "digits": _digits,
    "fashion-mnist": _images(sources.fashion_mnist, sources.FASHION, held=1 / 12),
    "iris": _table(sources.iris, "species", "classes"),
    "linear": lambda seed: Dataset(sources.linear(seed=seed)),
    "mnist": _images(sources.mnist, tuple("0123456789"), held=1 / 12),
    "sms-spam": _table(sources.sms_spam, "kind", "classes"),
    "wine": _table(sources.wine, "cultivar", "classes"),
    "wine-quality": _table(sources.wine_quality, "quality", "numbers"),
    "xor": lambda seed: Dataset(sources.xor()),
}
"""How each named data set is made."""
