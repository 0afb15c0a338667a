"""The encoder: fitted on training rows, frozen, equal to independent encoders, and never looking ahead."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

import sonde as sd
from sonde._errors import ArgumentError, DataError
from sonde.data import (
    Amount,
    Array,
    BagOfWords,
    Boolean,
    Categorical,
    Date,
    Encoder,
    Labels,
    Numeric,
    Picture,
    Tokens,
    Windows,
)
from sonde.data.encoder import WORDS, chosen, task_of

few = settings(deadline=None, max_examples=30)
text = lambda *values: np.array(values, object)


@pytest.mark.parametrize(
    ("scale", "theirs"), [("standard", StandardScaler()), ("min-max", MinMaxScaler()), ("robust", RobustScaler())]
)
def test_scales_are_those_of_scikit_learn_with_the_median_for_missing_values(rng, scale, theirs):
    train, new = rng.gamma(2, 50, 200), rng.gamma(2, 50, 30)
    ours = Numeric(scale).fit(train).encode(new)
    np.testing.assert_allclose(ours, theirs.fit(train[:, None]).transform(new[:, None]), rtol=1e-5, atol=1e-6)
    holes = np.where(np.arange(200) % 7 == 0, np.nan, train)
    fitted = Numeric(scale).fit(holes)
    value, flag = fitted.encode(np.array([np.nan]))[0]
    assert flag == 1 and value == pytest.approx(fitted.encode(np.array([np.nanmedian(holes)]))[0, 0], abs=1e-6)


def test_categories_are_those_of_scikit_learn_and_unseen_ones_are_nowhere(rng):
    train, new = rng.choice(list("abcde"), 100).astype(object), rng.choice(list("abcxyz"), 50).astype(object)
    theirs = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train[:, None])
    np.testing.assert_array_equal(Categorical().fit(train).encode(new), theirs.transform(new[:, None]))


def test_only_the_most_frequent_categories_are_kept():
    fitted = Categorical(most=2).fit(text(*"aaabbbcdd"))
    assert fitted.categories == ("a", "b") and fitted.encode(text("c")).tolist() == [[0, 0]]


def test_whole_numbers_are_the_same_categories_with_and_without_holes():
    whole = Categorical().fit(np.array([10, 2, 1234567]))
    assert whole.categories == ("2", "10", "1234567")
    assert whole.encode(np.array([1234567.0, np.nan])).tolist() == [[0, 0, 1], [0, 0, 0]]


def test_a_missing_category_is_one_of_its_own_if_it_was_there_in_training():
    fitted = Categorical().fit(text("a", None))
    assert fitted.names("c") == ("c = missing", "c = a") and fitted.encode(text(None)).tolist() == [[1, 0]]


def test_bags_of_words_are_those_of_scikit_learn_up_to_the_weights_of_words():
    train = text("free prize now", "see you now", "free lunch, see", "prize prize for you")
    ours = BagOfWords().fit(train)
    theirs = TfidfVectorizer(token_pattern=r"\w[\w']+", min_df=2, sublinear_tf=True).fit(train)
    assert ours.words == tuple(theirs.get_feature_names_out())
    np.testing.assert_allclose(np.log(5 / (1 + np.array([2, 2, 2, 2, 2]))) + 1e-3, ours.weights, atol=1e-6)
    bag = ours.encode(text("free free prize", "nothing known"))
    assert np.linalg.norm(bag[0]) == pytest.approx(1) and not bag[1].any()
    assert bag[0][ours.words.index("free")] / bag[0][ours.words.index("prize")] == pytest.approx(1 + np.log(2))


def test_dates_come_round_again():
    days = np.array(["2023-06-01", "2024-06-01", "2024-12-31"], "datetime64[us]")
    fitted = Date().fit(days)
    far, *circles = np.split(fitted.encode(days), [1], 1)
    year = circles[0][:, :2]
    assert far[0] < far[1] < far[2]
    assert np.linalg.norm(year[0] - year[1]) < 0.03 and np.linalg.norm(year[0] - year[2]) > 1
    week = fitted.encode(np.array(["2024-01-01", "2024-01-08", "2024-01-04"], "datetime64[us]"))[:, 3:5]
    np.testing.assert_allclose(week[0], week[1], atol=1e-5)
    np.testing.assert_allclose(week[0], [0, 1], atol=1e-5)  # a Monday
    assert Date().fit(np.array(["2024-01-01T06", "2024-01-01T18"], "datetime64[us]")).hours
    assert fitted.encode(np.array(["NaT"], "datetime64[us]")).tolist() == [[0] * 5]


@few
@given(st.lists(st.text("abc xyz", max_size=8), min_size=1, max_size=6).filter(lambda rows: any("".join(rows))))
def test_characters_come_back_and_lengths_are_kept(rows):
    letters = Tokens("character").fit(text(*rows))
    padded = letters.encode(text(*rows))
    assert letters.decode(padded.values) == rows
    assert padded.lengths.tolist() == [len(row) for row in rows]
    assert all(not values[length:].any() for values, length in zip(padded.values, padded.lengths, strict=True))


def test_images_are_those_of_pillow(tmp_path, rng):
    pixels = rng.integers(0, 255, (40, 100, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "gray.png")
    file = text(str(tmp_path / "a.png"))
    fitted = Picture().fit(file)
    assert (fitted.height, fitted.width, fitted.channels) == (26, 64, 3)
    exact = Picture(40, 100).fit(file).encode(file)
    assert exact.dtype == np.uint8 and (exact[0] == pixels).all()
    assert (Picture(40, 100, 1).encode(file)[0, ..., 0] == np.asarray(Image.fromarray(pixels).convert("L"))).all()
    assert Picture().fit(text(str(tmp_path / "gray.png"))).channels == 1
    (tmp_path / "bad.png").write_bytes(b"not an image")
    for name, said in (("bad.png", "it is no image"), ("gone.png", "there is no such file")):
        with pytest.raises(DataError, match=rf"^images that cannot be read: \S*{name} \({said}\); mend them"):
            fitted.encode(text(str(tmp_path / name)))


def test_broken_images_of_all_splits_are_named_at_once_five_at_most_and_each_path_once(tmp_path, rng):
    for i in range(40):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        file = tmp_path / "ab"[i % 2] / f"{i:02d}.png"
        Image.fromarray(rng.integers(0, 255, (9, 9, 3)).astype(np.uint8)).save(file)
    bad = [tmp_path / name for name in ("a/04.png", "b/09.png", "b/21.png")]
    bad[0].write_bytes(bad[0].read_bytes()[:-60])  # its header is sound
    bad[1].write_bytes(b"")
    bad[2].write_bytes(b"GIF89a")
    for seed in range(3):
        with pytest.raises(DataError) as error:
            sd.data.read(tmp_path, seed=seed)
        assert str(error.value).startswith("column 'image': images that cannot be read: ")
        assert [str(error.value).count(str(file)) for file in bad] == [1, 1, 1] and "more" not in str(error.value)
    for i in range(0, 40, 4):
        (tmp_path / "a" / f"{i:02d}.png").write_bytes(b"x")
    with pytest.raises(DataError, match="perhaps more") as error:
        sd.data.read(tmp_path)
    assert str(error.value).count(".png") == 5


# ---------------------------------------------------------------------- what is chosen


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(9.0), Numeric),
        (np.array([True, False]), Boolean),
        (text("yes", "no", None), Boolean),
        (np.array(["2024-01-01"], "datetime64[us]"), Date),
        (text("2024-01", None, "2024-02"), Date),
        (text("a", "b", "a"), Categorical),
        (text("one fine day", "another day of rain", "what a day it is"), BagOfWords),
        (text("x/1.png", "x/2.JPG"), Picture),
        (np.zeros((3, 8, 8)), Array),
    ],
)
def test_each_kind_of_column_has_its_encoding(values, kind):
    assert type(chosen(values)) is kind


def test_numbers_over_orders_of_magnitude_are_taken_by_their_logarithm(rng):
    assert chosen(rng.lognormal(0, 2, 500)).log and not chosen(rng.normal(size=500)).log
    assert not chosen(-rng.lognormal(0, 2, 500)).log


def test_the_task_follows_from_the_target():
    assert task_of(text("a", "b")) == task_of(np.array([True])) == task_of(np.arange(21) % 20) == "classes"
    assert task_of(np.array([1.0, 2.0, np.nan])) == "classes"
    assert task_of(np.arange(22) % 21) == task_of(np.array([1.0, 2.5])) == "numbers"


# ---------------------------------------------------------------------- the encoder


def houses(rng, n=60):
    return {
        "size": rng.uniform(30, 200, n),
        "kind": rng.choice(["house", "flat"], n).astype(object),
        "seen": rng.choice([True, False], n),
        "price": rng.uniform(1e5, 1e6, n),
    }


def test_it_refuses_what_it_was_not_fitted_for_with_the_columns_name(rng):
    table = houses(rng)
    encoder = Encoder.of(table, "price")
    without = {k: v for k, v in table.items() if k != "size"} | {"sizes": table["size"]}
    for wrong, said in (
        (without, "needs the column 'size'; did you mean 'sizes'"),
        (table | {"size": table["kind"]}, "column 'size': it takes numbers; row 0 has"),
        (table | {"seen": table["kind"]}, "column 'seen': it takes true and false"),
        (table | {"size": np.full(60, np.inf)}, "column 'size': row 0 is infinite"),
    ):
        with pytest.raises(DataError, match=said):
            encoder.inputs(wrong)
    with pytest.raises(DataError, match="label 'c' of row 0 was not among"):
        Encoder.of({"x": [1, 2], "y": ["a", "b"]}, "y").encode({"x": [1], "y": ["c"]})
    with pytest.raises(DataError, match=r"label '188200' of row 0 .* say task='numbers' \(--task numbers\)"):
        Encoder.of({"x": [1, 2, 3], "y": [10, 20, 10]}, "y").encode({"x": [1], "y": [188200.0]})


def test_prices_of_a_small_table_are_numbers_although_they_are_few_and_whole():
    assert task_of(np.array([452600.0, 188200.0, 342200.0])) == task_of(np.arange(12)) == "numbers"
    assert task_of(np.array([452600.0, 188200.0, 188200.0])) == "classes"


def test_a_summary_has_a_line_a_kind():
    class Length(sd.data.Encoding):
        most: int = 9
        least: int = 0

        def encode(self, values):
            return np.array([[len(v)] for v in values], np.float32)

    table = {"image": np.zeros((4, 8, 8)), "n": [1.0, 2.5, 3, 4], "day": ["2024-01", "2024-02", "2024-02", "2024-05"]}
    encoder = Encoder.of(table | {"name": list("abca")}, columns={"name": Length(3, 1)})
    assert encoder.summary() == ["array: image", "number: n", "date: day", "Length: name"]
    assert ("image", "array, float32[8, 8]") in encoder.lines()


def test_it_knows_nothing_but_the_rows_it_was_fitted_on_and_order_of_columns_does_not_matter(rng):
    table = houses(rng)
    encoder = Encoder.of(table, "price")
    some = {k: v[:7] for k, v in table.items()}
    turned = dict(reversed(some.items()))
    np.testing.assert_array_equal(encoder.encode(table)["x"][:7], encoder.encode(turned)["x"])
    np.testing.assert_array_equal(encoder.encode(some)["y"], table["price"][:7].astype(np.float32))
    assert encoder.amount == Amount(table["price"].mean(), table["price"].std())


def test_what_no_training_row_had_is_told_while_the_rows_are_encoded_as_ever(rng):
    table = {
        "size": rng.normal(100, 5, 60),
        "income": rng.lognormal(0, 2, 60),
        "kind": rng.choice(["flat", "house"], 60).astype(object),
        "sold": np.datetime64("2024-01-01", "us") + rng.integers(0, 90, 60) * np.timedelta64(1, "D"),
        "index": np.arange(60.0),
    }
    encoder = Encoder.of(table, columns={"index": Numeric("none"), "income": Numeric(log=True)})
    assert encoder.odd(table) == []
    some = {name: values[:3].copy() for name, values in table.items()}
    odd = some | {
        "size": np.array([100.0, 1e6, 1e7]),
        "income": np.array([1.0, np.nan, 3.0]),
        "kind": text("flat", None, "castle"),
        "sold": np.array(["2024-02-01", "1999-01-01", "NaT"], "datetime64[us]"),
        "index": np.array([1e9, 2e9, 3e9]),  # not scaled, so nothing is known of it
    }
    assert encoder.odd(odd) == [
        "column 'size': 2 of 3 rows have a value over 10 spreads from those in training (row 1: 1000000.0)",
        "column 'kind': 1 of 3 rows has none of the 2 known categories (row 2: 'castle')",
        "column 'sold': 1 of 3 rows has a value over 10 spreads from those in training "
        "(row 1: 1999-01-01T00:00:00.000000)",
    ]
    assert encoder.inputs(odd)["x"].shape == (3, len(encoder.features))
    gone = {"size": np.full(3, np.nan), "kind": text(None, None, None), "sold": np.full(3, np.nan)}
    assert not encoder.inputs(some | gone)["x"][:, 2:-1].any()
    assert encoder.odd(some | gone) == [f"column {name!r} is missing in every row" for name in gone]
    with pytest.raises(DataError, match="needs the column 'kind'"):
        encoder.odd({name: values for name, values in some.items() if name != "kind"})


def every_kind(rng, tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")
    return {
        "number": rng.normal(size=4),
        "min-max": np.array([1.0, np.nan, 3.0, 4.0]),
        "robust": np.arange(4),
        "log": np.array([1.0, 10, 100, 1000]),
        "category": text("a", "b", None, "a"),
        "boolean": np.array([True, False, True, True]),
        "date": np.array(["2024-01-01", "2024-01-02", "NaT", "2024-05-05"], "datetime64[us]"),
        "day-first": text("01/02/2024", "02/03/2024", None, "05/05/2024"),
        "month-first": text("01/02/2024 10:30", "02/03/2024", None, "05/05/2024"),
        "text": text("one day", "one night", "day", "night"),
        "words": text("one day", "one night", "day", "night"),
        "characters": text("one day", "one night", "day", "night"),
        "image": text(*[str(tmp_path / "a.png")] * 4),
        "array": np.zeros((4, 2, 2), np.float32),
    }


def test_every_kind_goes_through_json_without_loss(rng, tmp_path):
    table = every_kind(rng, tmp_path)
    assert table.keys() == WORDS.keys()
    encoder = Encoder.of(table, columns={name: name for name in table})
    again = sd.from_json(json.loads(json.dumps(sd.to_json(encoder))))
    assert again == encoder and hash(again) == hash(encoder)
    one, other = encoder.inputs(table), again.inputs(table)
    assert one.keys() == other.keys() == {"x", "words", "characters", "image", "array"}
    assert all(np.array_equal(np.asarray(getattr(one[k], "values", one[k])),
                              np.asarray(getattr(other[k], "values", other[k]))) for k in one)  # fmt: skip
    assert one["x"].shape == (4, len(encoder.features))


def test_mistakes_in_what_is_asked_for_are_told():
    table = {"age": [1, 2, 3], "y": ["a", "b", "a"]}
    for ask, said in (
        (lambda: Encoder.of(table, "z"), "there is no column 'z'"),
        (lambda: Encoder.of(table, "y", drop=["aeg"]), "did you mean 'age'"),
        (lambda: Encoder.of(table, "y", drop=["age"]), "only the target is left"),
        (lambda: Encoder.of(table, "y", columns={"age": "numbr"}), "did you mean 'number'"),
        (lambda: Encoder.of(table, "y", task="class"), "task must be one of"),
        (lambda: Encoder.of(table, "y", task="numbers"), "column 'y': it takes numbers; row 0 has 'a'"),
        (lambda: Numeric("standart"), "scale must be"),
        (lambda: Windows(0), "steps of Windows"),
        (lambda: Encoder(()), "at least one column"),
    ):
        with pytest.raises((ArgumentError, DataError), match=said):
            ask()


# ---------------------------------------------------------------------- windows of a series


@few
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 6))
def test_a_window_sees_nothing_after_its_end(steps, horizon, more):
    n = steps + horizon + more
    series = {"load": np.arange(n, dtype=float)}
    encoder = Encoder.of(series, "load", columns={"load": Numeric("none")}, window=Windows(steps, horizon))
    part = encoder.encode(series)
    assert part["x"].shape == (n - steps - horizon + 1, steps, 1)
    np.testing.assert_array_equal(part["x"][:, :, 0].max(1) + horizon, part["y"])  # the newest it sees, and what comes
    ahead = encoder.inputs(series)["x"]  # to predict: also the windows whose target is not known yet
    assert len(ahead) == n - steps + 1 and ahead[-1, -1, 0] == n - 1


def test_a_series_that_is_too_short_is_refused():
    encoder = Encoder.of({"v": np.arange(9.0)}, "v", window=Windows(3, 2))
    with pytest.raises(DataError, match="more than 4 rows"):
        encoder.encode({"v": np.arange(4.0)})
    with pytest.raises(DataError, match="a window needs 3 rows; there are 2"):
        encoder.inputs({"v": np.arange(2.0)})


def test_labels_keep_the_order_of_numbers():
    assert Labels().fit(np.array([10, 2, 1])).classes == ("1", "2", "10")
