"""Rows are parted without loss or overlap; groups and moments stay whole; the newest rows are for testing."""

import datetime

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sonde._errors import ArgumentError, DataError
from sonde.data import Dataset, split_rows
from sonde.data.splitting import given_rows

few = settings(deadline=None, max_examples=40)
fractions = st.dictionaries(st.sampled_from(["test", "valid", "more"]), st.floats(0, 0.4), max_size=3)


def possible(n: int, fractions: dict) -> dict:
    """The sizes asked for, if they leave rows for training."""
    sizes = {part: round(fraction * n) for part, fraction in fractions.items()}
    assume(sum(fractions.values()) < 1 and sum(sizes.values()) < n)
    return sizes


def is_partition(parts: dict, n: int, fractions: dict) -> bool:
    """Whether every row is in one part, and parts come in the order asked for."""
    return list(parts) == ["train", *fractions] and sorted(np.concatenate(list(parts.values()))) == list(range(n))


# ---------------------------------------------------------------------- groups


@few
@given(st.integers(6, 150), fractions, st.integers(0, 2**31), st.integers(5, 40), st.integers(0, 4))
def test_rows_of_a_group_are_never_in_two_parts(n, fractions, seed, many, classes):
    sizes, rng = possible(n, fractions), np.random.default_rng(seed)
    groups = np.concatenate([np.arange(5), rng.integers(0, many, n - 5)])
    labels = rng.integers(0, classes, n) if classes else None
    parts = split_rows(n, fractions, seed, labels, groups)
    assert is_partition(parts, n, fractions)
    for part, rows in parts.items():
        others = np.setdiff1d(np.arange(n), rows)
        assert not set(groups[rows]) & set(groups[others])
        assert (len(rows) > 0) == (part == "train" or sizes[part] > 0)
    again = split_rows(n, fractions, seed, labels, groups)
    assert all(np.array_equal(parts[part], again[part]) for part in parts)


@few
@given(st.integers(0, 2**31))
def test_with_groups_of_one_row_the_split_is_stratified_within_a_few_rows(seed):
    labels = np.random.default_rng(seed).permutation(np.repeat([0, 1], [150, 50]))
    parts = split_rows(200, {"test": 0.2, "valid": 0.2}, seed, labels, groups=np.arange(200))
    for part, share in (("test", 0.2), ("valid", 0.2), ("train", 0.6)):
        found = np.bincount(labels[parts[part]], minlength=2)
        assert np.abs(found - share * np.array([150, 50])).max() <= 5  # by chance alone the deviation is 3.4


def test_the_mix_of_classes_is_better_than_that_of_chance(seed):
    """Patients of one class each: forty of one, ten of the other, twenty rows a patient."""
    groups = np.repeat(np.arange(50), 20)
    labels = (groups % 5 == 0).astype(int)
    miss = lambda rows: abs(labels[rows].mean() - 0.2)
    ours = [miss(split_rows(1000, {"test": 0.2}, seed + i, labels, groups)["test"]) for i in range(20)]
    chance = [miss(split_rows(1000, {"test": 0.2}, seed + i, None, groups)["test"]) for i in range(20)]
    assert np.mean(ours) < 0.01 < np.mean(chance)


def test_sizes_count_rows_not_groups(seed):
    groups = np.concatenate([np.zeros(500, int), np.repeat(np.arange(1, 51), 10)])  # one group is half of all rows
    parts = split_rows(1000, {"test": 0.2, "valid": 0.1}, seed, groups=groups)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 700, "test": 200, "valid": 100}


def test_groups_can_be_any_values(seed):
    names = np.array([f"patient {i % 7}" for i in range(70)])
    dates = np.datetime64("2024-01-01") + np.arange(70) % 7
    objects = np.array([None] * 70, object)
    objects[:] = [f"p{i % 7}" for i in range(70)]
    expected = split_rows(70, {"test": 0.3}, seed, groups=np.arange(70) % 7)
    for groups in (names, names.tolist(), dates, objects, (np.arange(70) % 7).astype(float), np.arange(70) % 7 + 100):
        parts = split_rows(70, {"test": 0.3}, seed, groups=groups)
        assert {p: r.tolist() for p, r in parts.items()} == {p: r.tolist() for p, r in expected.items()}


def test_quantities_as_classes_do_not_hinder_groups(seed):
    parts = split_rows(600, {"test": 0.25}, seed, np.arange(600) * 7, groups=np.arange(600) % 60)
    assert len(parts["test"]) == 150


# ---------------------------------------------------------------------- times


@few
@given(st.integers(6, 150), fractions, st.integers(0, 2**31), st.integers(5, 200))
def test_the_newest_rows_are_for_testing_and_equal_times_stay_together(n, fractions, seed, many):
    sizes, rng = possible(n, fractions), np.random.default_rng(seed)
    times = rng.permutation(np.concatenate([np.arange(5.0), rng.integers(0, many, n - 5)]))
    parts = split_rows(n, fractions, seed, times=times)
    assert is_partition(parts, n, fractions)
    order = [part for part in ("train", "more", "valid", "test") if len(parts.get(part, ()))]
    assert set(order) == {"train"} | {part for part, size in sizes.items() if size}
    for older, newer in zip(order, order[1:], strict=False):
        assert times[parts[older]].max() < times[parts[newer]].min()


@pytest.mark.parametrize("fractions", [{"test": 0.2, "valid": 0.3}, {"valid": 0.3, "test": 0.2}])
def test_times_that_differ_give_the_sizes_asked_for(rng, fractions):
    order = rng.permutation(50)
    parts = split_rows(50, fractions, times=np.datetime64("2020-01-01") + order)
    assert [set(order[parts[p]]) for p in ("train", "valid", "test")] == [
        set(range(25)),
        set(range(25, 40)),
        set(range(40, 50)),
    ]


def test_a_cut_through_equal_times_moves_to_the_nearer_side():
    times = np.array([1, 2, 3, 4, 5, 6, 7, 7, 7, 7])
    assert split_rows(10, {"test": 0.3}, times=times)["test"].tolist() == [6, 7, 8, 9]
    assert split_rows(10, {"test": 0.4}, times=times)["test"].tolist() == [6, 7, 8, 9]
    assert split_rows(10, {"test": 0.1}, times=times)["test"].tolist() == [6, 7, 8, 9]  # no part stays empty


def test_times_can_be_dates_of_any_kind():
    days = [f"2024-02-{day:02d}" for day in (11, 3, 27, 8)]
    python = [datetime.datetime.fromisoformat(day) for day in days]
    for times in (days, python, np.array(days, "datetime64[D]"), np.array(python, object), [11, 3, 27, 8]):
        assert split_rows(4, {"test": 0.25}, times=times)["test"].tolist() == [2]


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"groups": [0, 1, 2, 3], "times": [0, 1, 2, 3]}, ArgumentError, "by groups or by times, not by both"),
        ({"groups": [0, 1, 2]}, DataError, r"groups must have one value a row, 4 of them; got int64\[3\]"),
        ({"times": [[0], [1], [2], [3]]}, DataError, r"times must have one value a row, 4 of them; got int64\[4, 1\]"),
        ({"groups": ["a", "b", None, None]}, DataError, "groups lacks 2 values, the first in row 2"),
        ({"groups": ["a", float("nan"), "c", "d"]}, DataError, "groups lacks 1 values, the first in row 1"),
        ({"groups": [0.0, 1.0, 2.0, np.nan]}, DataError, "groups lacks 1 values, the first in row 3"),
        ({"times": np.array(["2020-01-01", "NaT", "2020", "2021"], "M8[D]")}, DataError, "times lacks 1 .* row 1"),
        ({"times": ["a", "b", "c", "d"]}, DataError, "times must be numbers or dates"),
        ({"groups": [5, 5, 6, 6]}, DataError, "2 groups cannot be split into train, test, valid"),
        ({"times": [5, 5, 5, 5]}, DataError, "1 moments cannot be split into train, test, valid"),
    ],
    ids=str,
)
def test_what_cannot_be_split_is_refused_and_says_why(given, kind, message):
    with pytest.raises(kind, match=message):
        split_rows(4, {"test": 0.25, "valid": 0.25}, **given)


# ---------------------------------------------------------------------- parts that are given


def test_a_column_names_the_part_of_each_row():
    column = np.array(["Train", "val", "TEST", "train ", "dev", "Validation", "valid"], object)
    parts = given_rows(column)
    lists = {part: rows.tolist() for part, rows in parts.items()}
    assert lists == {"train": [0, 3], "valid": [1, 4, 5, 6], "test": [2]}
    assert list(given_rows(["test", "train"])) == ["train", "test"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["train", "holdout"], "'holdout' in row 1 names no part of the data; it must be one of train, valid"),
        (["train", None], "None in row 1 names no part"),
        ([0, 1], "0 in row 0 names no part"),
        (["test", "valid"], "leaves no row for training"),
        ([["train"], ["test"]], "one name a row; got"),
    ],
    ids=str,
)
def test_a_column_that_names_anything_else_is_refused(column, message):
    with pytest.raises(DataError, match=message):
        given_rows(column)


# ---------------------------------------------------------------------- data sets


def test_a_data_set_is_split_by_groups_or_by_times_which_are_no_columns(seed):
    x = np.arange(60.0)
    grouped = Dataset.of(x, np.arange(60) % 2, groups=np.arange(60) // 6, valid=0.2, test=0.2, seed=seed)
    assert set(grouped.train) == {"x", "y"}
    parts = [set(part.x // 6) for part in grouped.splits.values()]
    assert [len(part) for part in parts] == [6, 2, 2] and len(set.union(*parts)) == 10
    timed = Dataset.of(x, times=-x, valid=0.2, test=0.2)
    assert [(part.x.min(), part.x.max()) for part in timed.splits.values()] == [(24, 59), (12, 23), (0, 11)]
