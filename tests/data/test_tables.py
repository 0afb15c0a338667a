"""Raw tables: the same columns, whatever they came in."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from sonde._errors import DataError, SondeError, SourceError
from sonde.data import table_of

ROWS = {
    "n": [3, 1, 2],
    "x": [0.5, None, -2.0],
    "ok": [True, False, True],
    "city": ["Bonn", None, "Graz"],
    "day": [datetime.date(2024, 2, 29), datetime.date(2024, 3, 1), datetime.date(1999, 12, 31)],
}


def same(table):
    """Whether a table holds `ROWS`, each column in its kind."""
    assert list(table) == list(ROWS)
    assert table["n"].dtype == np.int64 and table["n"].tolist() == [3, 1, 2]
    assert table["x"].dtype == np.float64
    np.testing.assert_array_equal(table["x"], [0.5, np.nan, -2.0])
    assert table["ok"].dtype == bool and table["ok"].tolist() == [True, False, True]
    assert table["city"].tolist() == ["Bonn", None, "Graz"]
    assert table["day"].dtype == "datetime64[us]"
    assert table["day"].astype("datetime64[D]").astype(str).tolist() == ["2024-02-29", "2024-03-01", "1999-12-31"]
    return True


def test_columns_rows_and_frames_are_the_same_table():
    assert same(table_of(ROWS))
    assert same(table_of([dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]))
    assert same(table_of(pl.DataFrame(ROWS)))
    assert same(table_of(pd.DataFrame(ROWS)))
    assert same(table_of(pd.DataFrame(ROWS).convert_dtypes().astype({"day": "datetime64[ns]"})))


def test_moments_of_a_time_zone_are_those_of_utc():
    noon = pd.Series(pd.to_datetime(["2024-07-01 12:00", None])).dt.tz_localize("Europe/Berlin")
    rows = [{"at": noon[0].to_pydatetime()}, {"at": None}]
    frame = pl.DataFrame({"at": [rows[0]["at"], None]}, {"at": pl.Datetime("us", "Europe/Berlin")})
    for source in (pd.DataFrame({"at": noon}), frame, rows):
        at = table_of(source)["at"]
        assert at.dtype == "datetime64[us]" and at[0] == np.datetime64("2024-07-01T10:00") and np.isnat(at[1])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_text_files_with_any_separator_and_parquet_are_the_same_table(tmp_path, separator):
    pl.DataFrame(ROWS).write_csv(tmp_path / "rows.csv", separator=separator)
    pl.DataFrame(ROWS).write_parquet(tmp_path / "rows.parquet")
    assert same(table_of(str(tmp_path / "rows.parquet")))
    table = table_of(tmp_path / "rows.csv")
    assert table["day"].tolist() == ["2024-02-29", "2024-03-01", "1999-12-31"]  # text is text; `Date` reads it
    assert same(table | {"day": table["day"].astype("datetime64[us]")})


def test_a_quoted_separator_parts_nothing(tmp_path):
    (tmp_path / "rows.csv").write_text('name,n\n"a, b; c",1\n"d, e, f",2\n')
    table = table_of(tmp_path / "rows.csv")
    assert table["name"].tolist() == ["a, b; c", "d, e, f"] and table["n"].tolist() == [1, 2]


@pytest.mark.parametrize("first", ["5.1,setosa", "setosa,5.1"])
def test_a_first_line_that_is_a_row_is_a_row(tmp_path, first):
    (tmp_path / "rows.csv").write_text(f"{first}\n{first}\n")
    assert list(table_of(tmp_path / "rows.csv")) == ["column_1", "column_2"]
    assert len(table_of(tmp_path / "rows.csv")["column_1"]) == 2


def test_a_first_line_of_words_that_come_again_is_a_row(tmp_path):
    (tmp_path / "sms.tsv").write_text("ham\tsee you, at six\nspam\ta prize, free\nham\tok\n")
    table = table_of(tmp_path / "sms.tsv")
    assert table["column_1"].tolist() == ["ham", "spam", "ham"]


def test_a_late_fraction_or_word_is_seen(tmp_path):
    (tmp_path / "late.csv").write_text("a,b\n" + "1,1\n" * 5000 + "1.5,x\n")
    table = table_of(tmp_path / "late.csv")
    assert table["a"][-1] == 1.5 and table["b"][-1] == "x" and table["b"][0] == "1"


def test_arrays_of_numpy_keep_their_shapes(tmp_path, rng):
    x, y = rng.integers(0, 255, (5, 4, 4)).astype(np.uint8), np.arange(5)
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    table = table_of(tmp_path / "rows.npz")
    assert table["x"].dtype == np.uint8 and (table["x"] == x).all() and table["y"].dtype == np.int64


def pictures(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), "red").save(folder / name)


def test_a_folder_of_images_has_a_class_a_folder_and_perhaps_splits(tmp_path):
    pictures(tmp_path / "flat", ["cat/1.png", "dog/2.jpg", "cat/deep/3.png"])
    flat = table_of(tmp_path / "flat")
    assert sorted(flat) == ["image", "label"] and sorted(flat["label"]) == ["cat", "cat", "dog"]
    pictures(tmp_path / "split", ["train/cat/1.png", "Validation/dog/2.png", "test/cat/3.png"])
    split = table_of(tmp_path / "split")
    assert dict(zip(split["split"], split["label"], strict=True)) == {"train": "cat", "valid": "dog", "test": "cat"}


def test_image_files_named_in_a_table_are_found_beside_it(tmp_path, monkeypatch):
    pictures(tmp_path / "set", ["img/1.png", "img/2.png"])
    (tmp_path / "set/names.csv").write_text("file,label\nimg/1.png,a\nimg/2.png,b\n")
    monkeypatch.chdir(tmp_path)
    assert table_of("set/names.csv")["file"].tolist() == ["set/img/1.png", "set/img/2.png"]


def test_what_is_no_table_is_refused_with_the_reason(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.csv").write_bytes("name\nM\xfcller\n".encode("latin-1"))
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "notes.doc").write_text("hello")
    (tmp_path / "twice.csv").write_text('"a",b, a\n1,2,3\n')
    (tmp_path / "nothing").mkdir()
    for source, error, said in (
        (tmp_path / "gone.csv", SourceError, "there is no file or folder"),
        (tmp_path / "empty.csv", DataError, "cannot be read as a table"),
        (tmp_path / "latin.csv", DataError, "not text in UTF-8"),
        (tmp_path / "ragged.csv", DataError, "cannot be read as a table"),
        (tmp_path / "twice.csv", DataError, "2 columns called 'a'; give each a name of its own"),
        (tmp_path / "broken.parquet", DataError, "cannot be read as a table"),
        (tmp_path / "notes.doc", SourceError, "expected .csv"),
        (tmp_path / "nothing", DataError, "holds no images"),
        ({"a": [1, 2], "b": [1]}, DataError, "differ in length"),
        ({"a": 1}, DataError, "single value"),
        ({"a": [{}, {}]}, DataError, "holds dict values"),
        ([], DataError, "a table is a path"),
        (3, DataError, "a table is a path"),
    ):
        with pytest.raises(error, match=said):
            table_of(source)
    assert issubclass(DataError, SondeError)
