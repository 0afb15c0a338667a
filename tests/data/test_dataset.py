"""Data is checked at the door, parted without loss or overlap, and known again by its fingerprint."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde._errors import ArgumentError, DataError, MemberError
from sonde.data import Columns, Dataset, split_rows

few = settings(deadline=None, max_examples=40)


# ---------------------------------------------------------------------- columns


def test_columns_are_a_mapping_and_attributes(rng):
    x, y = rng.normal(size=(5, 2)), np.arange(5)
    columns = Columns({"x": x, "y": y})
    assert list(columns) == ["x", "y"] and len(columns) == 2 and columns.rows == 5
    np.testing.assert_array_equal(columns.x, x.astype(np.float32))
    np.testing.assert_array_equal(columns["y"], y)
    assert {**columns}.keys() == {"x", "y"}
    assert repr(columns) == "5 rows of x float32[2], y int32"
    steps = sd.Padded(np.ones((3, 5, 2), np.float32), np.ones(3, int))
    sequences = Columns({"x": steps, "t": sd.Padded.of([[1, 2, 3]] * 3)})
    assert repr(sequences) == "3 rows of x up to 5 steps of float32[2], t up to 3 steps of int32"


def test_a_missing_column_names_the_nearest():
    columns = Columns({"x": [1.0], "target": [0]})
    for look in (lambda: columns["tarjet"], lambda: columns.tarjet):
        with pytest.raises(MemberError, match="^.*no column 'tarjet'; did you mean 'target'"):
            look()
    assert "y" not in columns
    assert columns.get("weight") is None
    assert not hasattr(columns, "weight")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float64, np.float32),
        (np.float32, np.float32),
        (np.float16, np.float16),
        (np.int64, np.int32),
        (np.uint64, np.int32),
        (np.int32, np.int32),
        (np.uint8, np.uint8),
        (np.int8, np.int8),
        (bool, bool),
    ],
)
def test_columns_keep_their_values_in_types_that_a_program_can_take(given, kept):
    values = np.array([0, 1, 1, 0], given)
    column = Columns({"x": values}).x
    assert column.dtype == kept
    np.testing.assert_array_equal(column, values)


def test_lists_and_arrays_of_jax_are_columns_too():
    import jax.numpy as jnp

    for x in ([[1.0, 2.0], [3.0, 4.0]], jnp.array([[1.0, 2.0], [3.0, 4.0]])):
        np.testing.assert_array_equal(Columns({"x": x}).x, [[1, 2], [3, 4]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("shape", [(9,), (9, 2), (9, 2, 3)], ids=str)
def test_a_number_that_is_none_is_refused_with_its_row(rng, bad, shape):
    x = rng.normal(size=shape)
    first, second = sorted(rng.choice(9, 2, replace=False))
    x.reshape(9, -1)[[first, second], -1] = bad
    with pytest.raises(DataError) as caught:
        Columns({"x": x}, "valid")
    message = str(caught.value)
    assert message.startswith("column 'x' of the valid split has 2 rows with NaN or infinite values")
    assert f"first row {first};" in message


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": np.zeros((3, 2)), "y": np.zeros(4)}, "columns of the data split differ in length: {'x': 3, 'y': 4}"),
        ({"x": np.array(["a", "b"])}, "column 'x' of the data split holds <U1 values; arrays of numbers are needed"),
        ({"x": np.array([1, None])}, "column 'x' of the data split holds object values"),
        ({"x": np.array([1j])}, "holds complex128 values"),
        ({"x": np.array(["2020-01-01"], "datetime64[D]")}, "holds datetime64"),
        ({"x": [[1, 2], [3]]}, "column 'x' of the data split has rows of different lengths"),
        ({"x": 3.0}, "column 'x' of the data split is a single value, not an array of rows"),
        ({"x": np.array([0, 2**31])}, "column 'x' of the data split has whole numbers beyond 32 bits"),
        ({"x": np.array([-(2**31) - 1])}, "whole numbers beyond 32 bits"),
        ({}, "the data split has no columns"),
        ({"x": np.zeros((0, 3))}, "the data split has no rows"),
        ({"x": np.zeros(0, int)}, "the data split has no rows"),
        ({"x": [1.0, 2.0], "weight": [1.0, -0.5]}, "'weight' of the data split must be .*at least 0.*-0.5 in row 1"),
        ({"x": [1.0, 2.0], "weight": [[1.0], [1.0]]}, r"'weight' of the data split must be one number"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_on_is_refused_at_the_door(columns, message):
    with pytest.raises(DataError, match=message):
        Columns(columns)


def test_the_largest_whole_numbers_that_fit_are_taken():
    np.testing.assert_array_equal(Columns({"x": [2**31 - 1, -(2**31)]}).x, [2**31 - 1, -(2**31)])


# ---------------------------------------------------------------------- splits that are given


def test_splits_must_have_the_same_columns_shapes_and_types():
    train = {"x": np.zeros((4, 3)), "y": np.zeros(4, int)}
    good = {"x": np.zeros((2, 3)), "y": np.zeros(2, int)}
    assert set(Dataset(train, good, good).splits) == {"train", "valid", "test"}
    for bad, message in (
        ({"x": good["x"]}, "train and {} splits differ in their columns: y"),
        (good | {"z": np.zeros(2)}, "train and {} splits differ in their columns: z"),
        (good | {"x": np.zeros((2, 4))}, r"column 'x' is float32\[1, 3\] a row in train but float32\[1, 4\] in {}"),
        (good | {"x": np.zeros((2, 3), np.uint8)}, r"a row in train but uint8\[1, 3\] in {}"),
        (good | {"y": np.zeros(2)}, r"column 'y' is int32\[1\] a row in train but float32\[1\] in {}"),
    ):
        for split in ("valid", "test"):
            with pytest.raises(DataError, match=message.format(split)):
                Dataset(train, **{split: bad})


def test_an_error_names_the_split():
    good = {"x": np.zeros(3)}
    with pytest.raises(DataError, match="column 'x' of the test split has 1 rows with NaN"):
        Dataset(good, test={"x": [0.0, np.nan]})


def test_classes_are_those_of_any_split_or_the_named_ones():
    y = lambda *labels: {"y": np.array(labels)}
    assert Dataset(y(0, 1)).classes == 2
    assert Dataset(y(0, 1), valid=y(4)).classes == 5
    named = Dataset(y(0, 1), labels=["a", "b", 3])
    assert named.classes == 3 and named.labels == ("a", "b", "3")
    with pytest.raises(DataError, match="y holds numbers, not labels"):
        _ = Dataset({"y": [0.5]}).classes


def test_a_data_set_shows_its_splits():
    data = Dataset(
        {"x": np.zeros((1200, 8, 8)), "y": np.zeros(1200, int)}, test={"x": np.zeros((3, 8, 8)), "y": [0] * 3}
    )
    assert repr(data) == (
        "Dataset\n  train: 1,200 rows of x float32[8, 8], y int32\n  test: 3 rows of x float32[8, 8], y int32"
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_and_pickles_lose_nothing(rng, copied):
    data = Dataset.of(rng.normal(size=(20, 2)), np.arange(20) % 2, labels=("a", "b"))
    again = copied(data)
    assert again.fingerprint == data.fingerprint
    assert again.labels == data.labels


# ---------------------------------------------------------------------- splits that are made

fractions = st.dictionaries(st.sampled_from(["test", "valid", "more"]), st.floats(0, 0.5), max_size=3)


@few
@given(st.integers(1, 120), fractions, st.integers(0, 2**31), st.integers(0, 6))
def test_splits_are_disjoint_complete_of_the_size_asked_for_and_repeatable(n, fractions, seed, classes):
    sizes = {part: round(fraction * n) for part, fraction in fractions.items()}
    assume(sum(fractions.values()) < 1 and sum(sizes.values()) < n)
    labels = np.random.default_rng(seed).integers(0, classes, n) if classes else None
    parts = split_rows(n, fractions, seed, labels)
    assert list(parts)[0] == "train" and set(parts) == {"train", *fractions}
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(n))
    assert {part: len(rows) for part, rows in parts.items() if part != "train"} == sizes
    again = split_rows(n, fractions, seed, labels)
    assert all(np.array_equal(parts[part], again[part]) for part in parts)


@few
@given(st.lists(st.integers(10, 40), min_size=2, max_size=4), st.integers(0, 2**31), st.integers(-3, 3))
def test_every_part_has_the_same_mix_of_classes(counts, seed, first):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)) + first, counts))
    fractions = {"test": 0.2, "valid": 0.25}
    for part, rows in split_rows(len(labels), fractions, seed, labels).items():
        share = fractions.get(part, 0.55)
        found = np.array([(labels[rows] == c + first).sum() for c in range(len(counts))])
        assert np.abs(found - share * np.array(counts)).max() <= 2


def test_another_seed_is_another_split(seed):
    one, other = (split_rows(1000, {"test": 0.3}, s)["test"] for s in (seed, seed + 1))
    assert len(set(one) & set(other)) < 200  # 90 expected of 300


def test_too_few_rows_of_a_class_are_split_without_regard_to_classes():
    parts = split_rows(20, {"test": 0.2}, 0, np.arange(20))
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 16, "test": 4}


@pytest.mark.parametrize(
    ("n", "fractions", "message"),
    [
        (9, {"test": -0.1}, r"the test split must be a fraction in \[0, 1\); got -0.1"),
        (9, {"valid": 1.0}, r"the valid split must be a fraction in \[0, 1\); got 1.0"),
        (9, {"valid": 20}, r"the valid split must be a fraction"),
        (9, {"valid": float("nan")}, r"the valid split must be a fraction"),
        (9, {"valid": 0.5, "test": 0.5}, "leave no rows for training"),
        (3, {"valid": 0.49, "test": 0.5}, "of 3 rows leave none for training"),
    ],
)
def test_splits_that_cannot_be_are_refused(n, fractions, message):
    with pytest.raises(ArgumentError, match=message):
        split_rows(n, fractions)


def test_rows_stay_together_in_a_split(rng):
    x = rng.normal(size=(50, 3)).astype(np.float32)
    data = Dataset.of(x, np.arange(50) % 3, weight=np.arange(50.0) + 1, valid=0.2, test=0.1)
    assert {split: part.rows for split, part in data.splits.items()} == {"train": 35, "valid": 10, "test": 5}
    seen = []
    for part in data.splits.values():
        rows = part.weight.astype(int) - 1
        np.testing.assert_array_equal(part.x, x[rows])
        np.testing.assert_array_equal(part.y, rows % 3)
        seen += rows.tolist()
    assert sorted(seen) == list(range(50))


def test_a_fraction_of_0_makes_no_split():
    data = Dataset.of(np.zeros((10, 2)), valid=0, test=0)
    assert (data.train.rows, data.valid, data.test) == (10, None, None)


@pytest.mark.parametrize(
    "y",
    [
        np.arange(40) % 2 * 2 - 1,  # labels of -1 and 1
        np.arange(40) * 50_000_000,  # quantities that happen to be whole
        np.linspace(0, 1, 40),
        (np.arange(40) % 2).astype(np.uint8),
        np.zeros((40, 2), int),
    ],
    ids=["signs", "large", "floats", "bytes", "two columns"],
)
def test_targets_of_any_kind_can_be_split(y):
    data = Dataset.of(np.arange(40.0), y, valid=0.25, test=0.25)
    for part in data.splits.values():
        np.testing.assert_array_equal(part.y, Columns({"y": y}).y[part.x.astype(int)])
    assert [part.rows for part in data.splits.values()] == [20, 10, 10]


# ---------------------------------------------------------------------- fingerprints


def test_fingerprints_know_data_again_and_tell_any_change(rng):
    x, y = rng.normal(size=(6, 3)).astype(np.float32), np.arange(6)
    make = lambda x=x, y=y, **splits: Dataset({"x": x, "y": y}, **splits).fingerprint
    one = make()
    assert one == make(x.copy(), y.copy())
    assert one == Dataset({"y": y, "x": np.asfortranarray(x)}).fingerprint
    assert one == make(x.astype(np.float64))  # it is float32 inside
    touched = x.copy()
    touched[rng.integers(6), rng.integers(3)] += 1e-6 + np.abs(touched).max() * 1e-6
    others = [
        make(touched),
        make(x[::-1]),
        make(x.reshape(6, 3, 1)),
        make(y=y + 1),
        make(y=y.astype(np.uint8)),
        Dataset({"x": x, "z": y}).fingerprint,
        make(valid={"x": x, "y": y}),
        make(test={"x": x, "y": y}),
    ]
    assert len({one, *others}) == 9


# ---------------------------------------------------------------------- a part of it


def tens(rng, n=600):
    """Ten classes of many sizes, whose features say which class and which row."""
    y = rng.choice(10, n, p=np.arange(1, 11) / 55)
    y[:40] = np.arange(40) % 10
    return Dataset.of(np.stack([y, np.arange(n)], 1), y, labels=[f"no {k}" for k in range(10)])


def test_some_classes_are_the_rows_of_these_in_every_split_numbered_in_the_order_given(rng):
    data = tens(rng)
    part = data.only("no 7", "no 2")
    assert part.labels == ("no 7", "no 2") and part.classes == 2
    for split, columns in part.splits.items():
        whole = data.splits[split]
        assert columns.rows == np.isin(whole.y, (7, 2)).sum()
        np.testing.assert_array_equal(np.array([7, 2])[columns.y], columns.x[:, 0])
    assert Dataset.of(data.train.x, data.train.y).only(5, 6).labels == ("5", "6")


def test_some_classes_of_a_table_are_known_by_their_names_later(rng):
    rows = [{"a": float(rng.normal()), "kind": "xyz"[i % 3]} for i in range(90)]
    part = sd.data.read(rows, target="kind").only("z", "x")
    assert part.encoder.labels == part.labels == ("z", "x")
    assert part.encoder.encode([{"a": 1.0, "kind": "x"}])["y"].tolist() == [1]


@pytest.mark.parametrize("count", [1, 3])
def test_so_many_rows_of_each_class_are_taken_or_held_out_and_none_is_lost(rng, count, seed):
    data = tens(rng)
    few, held = data.few(count, seed), data.hold_out(count, seed)
    assert np.bincount(few.train.y).tolist() == np.bincount(held.valid.y).tolist() == [count] * 10
    np.testing.assert_array_equal(few.train.x, held.valid.x)
    ids = np.concatenate([held.train.x[:, 1], held.valid.x[:, 1]])
    assert sorted(ids) == sorted(data.train.x[:, 1])
    assert few.test is data.test and few.valid is data.valid and held.labels == data.labels
    assert not np.array_equal(few.train.x, data.few(count, seed + 1).train.x)


def test_parts_that_cannot_be_are_refused(rng):
    data = tens(rng)
    with pytest.raises(ArgumentError, match="there is no class 'no 11'; did you mean 'no 1'"):
        data.only("no 11")
    with pytest.raises(ArgumentError, match="one or more different classes"):
        data.only("no 1", "no 1")
    with pytest.raises(ArgumentError, match="one or more"):
        data.only()
    with pytest.raises(ArgumentError, match="per_class must be a whole number of at least 1; got 0"):
        data.few(0)
    with pytest.raises(DataError, match="500 rows of each class are wanted; class 'no"):
        data.hold_out(500)
    with pytest.raises(DataError, match="numbers, not labels"):
        Dataset({"x": np.zeros((4, 1)), "y": np.zeros(4)}).few(1)


def test_mnist_with_500_of_each_digit_held_out(mnist_is_there):
    data = sd.data.load("mnist", valid=0).hold_out(500)
    assert data.train.rows == 55_000 and np.bincount(data.valid.y).tolist() == [500] * 10
    digits = data.only(0, 1, 2, 3, 4).few(100)
    assert digits.train.rows == 500 and digits.valid.rows == 2500 and digits.test.rows == 5139
