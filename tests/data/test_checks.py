"""Every check finds the fault in a set that has it, and nothing in the mended twin."""

import re
import time

import numpy as np
import pytest

import sonde as sd
from sonde._errors import DataError
from sonde.data import Dataset
from sonde.data.checks import examine, examine_table

rng = np.random.default_rng


def sound(seed: int, n: int = 120, **changed) -> Dataset:
    """Three features, two classes, nothing wrong; ``changed`` columns take the place of these."""
    x = rng(seed).normal(size=(n, 3)).astype(np.float32)
    y = rng(seed + 1).permutation(np.arange(n) % 2)
    return Dataset({"x": x, "y": y} | changed)


def twin(data: Dataset, **columns) -> Dataset:
    return Dataset({**data.train, **columns})


# ---------------------------------------------------------------------- columns


def test_a_sound_data_set_raises_no_finding(seed):
    assert examine(sound(seed)) == ()
    assert examine(Dataset.of(rng(seed).normal(size=(200, 4)), rng(seed).normal(size=200))) == ()


def faults() -> dict:
    """By name: a data set with a fault, its twin without, and what is said of it."""
    x, y, n = sound(7).train.x, sound(7).train.y, 120
    wide, number = rng(1).normal(size=(40, 60)).astype(np.float32), rng(2).normal(size=n).astype(np.float32)
    column = lambda values: np.stack([x[:, 0], np.asarray(values, np.float32), x[:, 2]], 1)
    rare = np.where(np.arange(n) < 3, 1, 0)
    skewed = np.where(np.arange(n) < 5, 1, 0)
    level = y + rng(3).uniform(0, 0.5, n)  # a threshold tells the classes apart
    recoded = np.array([0.3, -0.4, 0.1, 0.5])[y * 2 + np.arange(n) % 2]  # four values, two a class, not in order
    half = np.where(np.arange(n) % 9, level, -level)
    return {
        "constant": (sound(7, x=column(np.full(n, 4.0))), sound(7), "^feature 1 of x has the same value in every row"),
        "constants": (sound(7, x=x * np.eye(3, dtype=np.float32)[1]), sound(7), r"2 of 3 .* \(feature 0, feature 2\)"),
        "few rows": (Dataset({"x": wide}), Dataset({"x": wide[:, :40]}), "train has 40 rows of 60 features"),
        "large": (sound(7, x=x * np.float32(2000)), sound(7, x=x * np.float32(100)), "of x goes up to .*common scale"),
        "scales": (sound(7, x=column(x[:, 1] * 150)), sound(7, x=column(x[:, 1] * 5)), "feature 1 of x goes .*only"),
        "threshold": (sound(7, x=column(level)), sound(7, x=column(half)), "feature 1 of x alone tells all"),
        "values": (sound(7, x=column(recoded)), sound(7, x=column(recoded[::-1])), "alone tells all classes apart"),
        "number": (
            sound(7, x=column(number * 3 - 1), y=number),
            sound(7, x=column(number * 3 - 1 + x[:, 0] * 0.2), y=number),
            "feature 1 of x alone is the target up to a factor",
        ),
        "rare": (sound(7, y=rare), sound(7, y=y), "train has fewer than 5 rows of class 1, .*merge rare"),
        "skewed": (sound(7, y=skewed), sound(7, y=np.where(np.arange(n) < 6, 1, 0)), "unbalanced in train: 115 .*, 5"),
    }  # fmt: skip


@pytest.mark.parametrize("fault", faults())
def test_a_fault_in_the_columns_is_found_and_its_twin_is_not_blamed(fault):
    faulty, mended, message = faults()[fault]
    found = "\n".join(examine(faulty))
    assert re.search(message, found), found
    assert not re.search(message, "\n".join(examine(mended))), examine(mended)


def test_rows_in_two_splits_are_counted(seed):
    x = rng(seed).normal(size=(100, 4)).astype(np.float32)
    y = np.arange(100) % 2
    of = lambda a, b: {"x": x[a:b], "y": y[a:b]}
    assert examine(Dataset(of(0, 60), of(60, 80), of(80, 100))) == ()
    valid, test = examine(Dataset(of(0, 60), of(57, 80), of(79, 100)))
    assert valid.startswith("3 of 23 rows of x in valid stand in train too, all with the same y")
    assert test.startswith("1 of 21 rows of x in test stand in valid too")
    other = of(50, 80) | {"y": 1 - y[50:80]}
    (found,) = examine(Dataset(of(0, 60), other))
    assert found.startswith("10 of 30 rows of x in valid stand in train too, 0 of them with the same y")
    with_zeros = {"x": np.vstack([x, 0 * x[:1]]), "y": np.append(y, 0)}
    below = {"x": -np.zeros((1, 4), np.float32), "y": y[:1]}  # -0 is 0
    assert examine(Dataset(with_zeros, test=below))[0].startswith("1 of 1 rows of x in test stand in train too")


def test_images_in_two_splits_are_found_and_constant_pixels_are_not(seed):
    x = rng(seed).integers(0, 255, (50, 6, 6)).astype(np.uint8)
    x[:, 0] = 0
    assert examine(Dataset({"x": x[:40]}, {"x": x[40:]})) == ()
    assert "5 of 15 rows of x in valid" in examine(Dataset({"x": x[:40]}, {"x": x[35:]}))[0]


def test_what_is_on_purpose_or_by_nature_is_no_leak(seed):
    points = sound(seed).train
    assert examine(Dataset(points, valid=points)) == ()
    coins = rng(seed).integers(0, 2, (200, 3)).astype(np.int32)  # eight different rows
    assert examine(Dataset({"x": coins[:100]}, {"x": coins[100:]})) == ()


def test_a_split_that_lacks_a_class_is_named(seed):
    x, y = rng(seed).normal(size=(90, 3)), np.arange(90) % 3
    part = lambda rows: {"x": x[rows], "y": y[rows]}
    names = ("red", "green", "blue")
    whole, lacking = np.arange(60), np.arange(60, 90)[y[60:] != 1]
    (found,) = examine(Dataset(part(whole), part(lacking), labels=names))
    assert found.startswith("valid has no rows of class 'green', which cannot be judged")
    (found,) = examine(Dataset(part(lacking), part(whole)))
    assert found.startswith("train has no rows of class 1, which cannot be learned")
    assert examine(Dataset(part(whole), part(np.arange(60, 90)), labels=names)) == ()


def test_sets_that_are_named_are_sound():
    for name in ("digits", "linear", "xor"):
        assert examine(sd.data.load(name)) == ()


def test_mnist_is_looked_at_in_less_than_a_second(mnist_is_there):
    data = sd.data.load("mnist")
    began = time.perf_counter()
    assert examine(data) == ()
    assert time.perf_counter() - began < 1  # 0.07 s on a free machine


def test_of_a_column_on_disk_a_part_is_looked_at(tmp_path, monkeypatch, seed):
    x = rng(seed).normal(size=(400, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr("sonde.data.checks.SAMPLE_ROWS", 100)
    x[:, 2] = 1
    np.save(tmp_path / "constant.npy", x)
    on_disk = lambda name: Dataset({"x": np.load(tmp_path / name, mmap_mode="r")})
    assert examine(on_disk("x.npy")) == ()
    assert examine(on_disk("constant.npy"))[0].startswith("feature 2 of x has the same value")


# ---------------------------------------------------------------------- where findings go


def test_a_run_says_what_was_found_first(seed):
    data = Dataset(dict(sound(seed, x=np.ones((120, 3), np.float32)).train), notes=("rows 3 and 4 were merged",))
    assert data.findings[0] == "rows 3 and 4 were merged" and data.findings is data.findings
    run = sd.fit(sd.nn.Dense(2), data, sd.Classify(), sd.SGD(0.1), steps=1, progress=False)
    assert run.decisions[0] == "look: rows 3 and 4 were merged"
    assert run.decisions[1].startswith("look: 3 of 3 features of x have the same value")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([3, 3, 3], r"y has only one class \(3\) in all 3 rows"),
        ([0, 1, 70_000], "70,001 classes but only 3 rows; number the classes 0, 1, 2"),
        ([-1, 1, 1], "labels must be 0, 1, 2, ...; row 0 has -1"),
    ],
)
def test_labels_of_which_nothing_can_be_learned_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        sd.Classify().prepare({"y": np.array(y)})
    sd.Classify().prepare({"y": np.array([0, 1, 1])})


@pytest.mark.parametrize(("y", "message"), [([0, 2], "label 2 in row 1"), ([-1, 0], "label -1 in row 0")])
def test_labels_without_a_name_are_refused(y, message):
    with pytest.raises(DataError, match=f"y of the valid split has the {message}, but the 2 named classes are 0 to 1"):
        Dataset({"y": np.array([0, 1])}, {"y": np.array(y)}, labels=("a", "b"))


# ---------------------------------------------------------------------- raw tables


def text(values) -> np.ndarray:
    """Text as a raw table holds it."""
    return np.array([*values, None], object)[:-1]


def table(seed: int, n: int = 60, **changed) -> dict:
    """A table with nothing wrong; ``changed`` columns are added."""
    r = rng(seed)
    return {
        "size": r.normal(size=n),
        "rooms": r.integers(1, 6, n),
        "town": text(["Bonn", "Ulm", "Jena"][i] for i in r.integers(0, 3, n)),
        "price": r.normal(size=n),
        "sold": text(["yes", "no"][i] for i in r.permutation(np.arange(n) % 2)),
    } | changed


def test_a_sound_table_keeps_its_columns(seed):
    for target in ("price", "sold", None):
        assert examine_table(table(seed), target) == ({}, ())
    others = {"picture": np.zeros((60, 4, 4), np.uint8), "list": np.array([[1], None] * 30, object)}
    assert examine_table(table(seed, **others), "price") == ({}, ())


@pytest.mark.parametrize(
    ("name", "column", "mended", "reason"),
    [
        ("code", text(f"AB {i}" for i in range(60)), text(f"AB {i // 2}" for i in range(60)), "another short text"),
        ("said", text(f"AB {i}" for i in range(60)), text(f"it was room {i}" for i in range(60)), "short text"),
        ("number", np.arange(60)[::-1] + 100, np.arange(60) * 3, "consecutive whole numbers"),
        ("Unnamed: 0", np.arange(60) * 3, np.arange(60) // 2, "by its name"),
        ("PassengerId", np.arange(60) * 3, np.arange(60) // 2, "by its name"),
        ("same", text(["x"] * 60), text(["x", "y"] * 30), "the same in every row: x"),
        ("empty", np.full(60, np.nan), np.r_[1.5, 2.5, np.arange(58) % 7], "missing in every row"),
        ("none", text([None] * 60), text(["x", "y"] * 30), "missing in every row"),
        ("never", np.full(60, "NaT", "M8[us]"), np.array(["2020", "2021"] * 30, "M8[us]"), "missing in every row"),
    ],
)
def test_a_column_that_teaches_nothing_is_left_out(seed, name, column, mended, reason):
    left_out, findings = examine_table(table(seed, **{name: column}), "price")
    assert list(left_out) == [name] and reason in left_out[name] and findings == ()
    assert examine_table(table(seed, **{name: mended}), "price")[0] == {}


def test_a_name_that_only_ends_in_id_is_no_identifier(seed):
    assert examine_table(table(seed, paid=np.arange(60) * 3, valid=np.arange(60) * 7), "price")[0] == {}


def test_a_column_that_is_the_target_is_kept_with_a_warning(seed):
    sound, r = table(seed), rng(seed)
    other = text({"yes": "ja", "no": "nein"}[v] for v in sound["sold"])
    flag = sound["sold"] == "yes"
    for target, column, message in (
        ("price", sound["price"].copy(), "equals the target 'price' in every row"),
        ("price", sound["price"] * -2 + 1, "is the target 'price' up to a factor"),
        ("price", np.where(np.arange(60) % 9, sound["price"] * 3, np.nan), "up to a factor"),
        ("sold", other, "says the same as the target 'sold'"),
        ("sold", flag, "says the same as the target 'sold'"),
    ):
        left_out, (found,) = examine_table(sound | {"twin": column}, target)
        assert left_out == {} and message in found and "drop=['twin']" in found
    for target, column in (
        ("price", sound["price"] + 0.2 * r.normal(size=60)),
        ("sold", text(np.where(np.arange(60) == 3, "nein" if flag[3] else "ja", other))),
    ):
        assert examine_table(sound | {"twin": column}, target) == ({}, ())


def test_gaps_and_many_categories_are_told(seed):
    sound = table(seed, 300)
    price = np.where(np.arange(300) < 7, np.nan, sound["price"])
    (found,) = examine_table(sound | {"price": price}, "price")[1]
    assert found == "target 'price' is missing in 7 of 300 rows; they are left out"
    gaps = lambda share: np.where(np.arange(300) < 300 * share, np.nan, np.arange(300) % 11)
    (found,) = examine_table(sound | {"age": gaps(0.6)}, "price")[1]
    assert found.startswith("column 'age' is missing in 180 of 300 rows")
    assert examine_table(sound | {"age": gaps(0.4)}, "price")[1] == ()
    streets = lambda many: text(f"street {i % many}" for i in range(300))
    (found,) = examine_table(sound | {"street": streets(150)}, "price")[1]
    assert found.startswith("column 'street' has 150 different values")
    assert examine_table(sound | {"street": streets(90)}, "price")[1] == ()


@pytest.mark.parametrize(
    ("changed", "target", "message"),
    [
        ({}, "prise", "no column 'prise' to predict; did you mean 'price'"),
        ({"price": np.full(60, np.nan)}, "price", "target 'price' is missing in every row"),
        ({"sold": text(["yes"] * 60)}, "sold", "target 'sold' is 'yes' in every row"),
        ({"size": np.where(np.arange(60) > 57, np.inf, 1.0)}, "price", "'size' has 2 infinite .* row 58"),
        ({"price": np.where(np.arange(60) == 4, -np.inf, 1.0)}, "price", "'price' has 1 infinite values, .* row 4"),
    ],
    ids=str,
)
def test_tables_of_which_nothing_can_be_learned_are_refused(seed, changed, target, message):
    with pytest.raises(DataError, match=message):
        examine_table(table(seed, **changed), target)


def test_where_every_column_is_left_out_the_reasons_are_said():
    rows = [{"id": i, "same": 5, "y": i % 2} for i in range(40)]
    with pytest.raises(
        DataError, match="no column is left to learn from: 'id' is an identifier.*; 'same' is the same in every row: 5"
    ):
        sd.data.read(rows, target="y")


@pytest.mark.parametrize(
    "values",
    [
        [f"{i},{i % 90 + 10}" for i in range(40)],
        [f"${i},{i % 9}34.50" for i in range(1, 41)],
        [f"{i}.5 kg" for i in range(40)],
        [f"{i}%" for i in range(40)],
        [f"-€{i}" for i in range(20)] * 2,
        [str(i / 2) for i in range(20)] * 2,
    ],
    ids=lambda values: values[3],
)
def test_numbers_written_as_text_are_told_with_an_example(seed, values):
    sound = table(seed, 40)
    left_out, found = examine_table(sound | {"cost": text(values)}, "price")
    (said,) = [*left_out.values(), *found]
    assert "numbers written as text, such as" in said and "convert them before" in said
    assert any(repr(value) in said for value in values)
    assert bool(left_out) == (len(set(values)) == 40)
    assert examine_table(sound | {"cost": text(values)}, "price", ["cost"]) == ({}, ())
    (said,) = examine_table(sound | {"cost": text(values)}, "cost")[1]
    assert said.startswith("target 'cost' holds numbers written as text") and said.endswith("or they are classes")


@pytest.mark.parametrize(
    "kinds",
    [["12b", "12c", "3a", "4d", "5"], ["1st", "2nd", "3rd", "4th", "5th"], ["01", "02", "03", "04", "05"],
     ["1.2.3", "1.2.4", "1.3", "2.0", "2.1"], ["5 kg", "7 lb", "8 kg", "2 kg", "1 kg"], ["1,5", "none", "2", "3", "4"],
     ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"], ["4 kg", "5 kg", "4 kg", "5 kg", "5 kg"]],
    ids=lambda kinds: kinds[0],
)  # fmt: skip
def test_codes_sizes_and_dates_are_not_taken_for_numbers_written_as_text(seed, kinds):
    assert examine_table(table(seed, 40) | {"kind": text(kinds * 8)}, "price") == ({}, ())


def test_notes_say_that_a_column_of_groups_is_no_input_and_that_there_is_no_target():
    rows = [{"house": f"h{i % 9}", "size": i % 7 + 0.5, "price": i % 11 + 0.5} for i in range(60)]
    data = sd.data.read(rows, target="price", groups="house")
    assert data.notes == ("column 'house' keeps rows together and is no input",)
    (note,) = sd.data.read(rows).notes
    assert "target= (--target) takes one of 'house', 'size', 'price'" in note
