"""Dates written as text: one format a column, told from all of its values and kept; nothing is read in two ways."""

import datetime
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde._errors import ArgumentError, DataError
from sonde.data import Date, Encoder, Windows
from sonde.data.dates import FORMATS, as_dates, formats_of

text = lambda *values: np.array(values, object)
days = st.lists(st.dates(datetime.date(1969, 1, 1), datetime.date(2068, 12, 31)), min_size=1, max_size=8)


def written(day: datetime.date, format: str) -> str:
    """A day as Python writes it."""
    codes = {"year": "%Y", "yy": "%y", "month": "%m", "day": "%d"}
    for word in ("year", "yy", "month", "day"):
        format = format.replace(word, codes[word])
    return day.strftime(format)


@settings(deadline=None, max_examples=60)
@given(days, st.sampled_from(FORMATS))
def test_what_python_writes_is_read_in_its_format_and_gives_the_same_day(some, format):
    some = some if "day" in format else [day.replace(day=1) for day in some]
    column = text(*(written(day, format) for day in some))
    found = formats_of(column)
    assert format in found and len(found) <= 2
    assert as_dates(column, format).astype("datetime64[D]").tolist() == some
    if len(found) == 2:  # day or month first, and no value above 12 says which
        assert found[0].startswith("day") and all(day.day <= 12 for day in some)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2024-02-29T06:07:08.25", "2024-02-29T06:07:08.25"),
        ("2024-02-29 06:07", "2024-02-29T06:07"),
        ("2024-02-29T06:07Z", "2024-02-29T06:07"),
        ("2024-02-29T23:30:00-01:30", "2024-03-01T01:00"),
        ("2024-03-01 00:15+0030", "2024-02-29T23:45"),
        ("29.2.2024 6:07", "2024-02-29T06:07"),
        ("12/31/2024 12:00 AM", "2024-12-31T00:00"),
        ("12/31/24 3:05 pm", "2024-12-31T15:05"),
    ],
)
def test_a_time_of_day_may_follow(said, meant):
    (format,) = formats_of(text(said))
    assert as_dates(text(said), format)[0] == np.datetime64(meant)


@pytest.mark.parametrize(
    "values",
    [
        ("30.02.2024",), ("2024-13-01",), ("2024-01-01 25:00",), ("2024-01-01 13:00 PM",), ("01/31/2024", "31/01/2024"),
        ("2024-01-01", "01.02.2024"), ("2024-01-01", "soon"), ("1.2.3",), ("555-1234",), ("",), (None,),
    ],
)  # fmt: skip
def test_what_is_no_date_or_not_always_in_one_format_is_none(values):
    assert formats_of(text(*values)) == ()


def rows(order, n=60):
    """Sales that follow the time of year; days and months up to 12, or all of them."""
    dates = [datetime.date(2020, 1, 1) + datetime.timedelta(6 * i) for i in range(n)]
    return [{"sold": written(day, order), "price": float(day.timetuple().tm_yday)} for day in dates]


@pytest.mark.parametrize("order", ["month/day/year", "day.month.year", "year-month-day", "year/month/day"])
def test_a_file_rows_and_real_dates_are_the_same_features(tmp_path, order):
    said = rows(order)
    table = {"sold": [row["sold"] for row in said], "price": [row["price"] for row in said]}
    pl.DataFrame(table).write_csv(tmp_path / "sales.csv")
    real = table | {"sold": [datetime.date(2020, 1, 1) + datetime.timedelta(6 * i) for i in range(60)]}
    read = [sd.data.read(s, target="price") for s in (tmp_path / "sales.csv", said, table, real)]
    assert all((other.train.x == read[0].train.x).all() for other in read) and read[0].train.x.shape[1] == 5
    (_, encoding), = read[0].encoder.columns
    assert encoding.format == order and read[0].notes == ()
    again = sd.from_json(sd.to_json(read[0].encoder))
    np.testing.assert_array_equal(again.inputs(real)["x"], again.inputs(tmp_path / "sales.csv")["x"])


def test_rows_in_another_format_than_the_learned_one_are_refused_with_row_value_and_format():
    encoder = sd.data.read(rows("year-month-day"), target="price").encoder
    with pytest.raises(
        DataError, match=r"column 'sold': it takes dates written year-month-day, .* 2024-12-31; row 1 has '02/01/2020'"
    ):
        encoder.inputs({"sold": ["2020-01-01", "02/01/2020"]})
    assert encoder.inputs({"sold": [None, " "]})["x"].tolist() == [[0] * 5] * 2


def test_the_format_follows_from_all_rows_not_from_those_for_training():
    said = [{"d": f"{1 + i // 28:02d}/{1 + i % 28:02d}/2020", "y": i % 7 / 2} for i in range(12)]
    said += [{"d": "01/13/2020", "y": 1.0}] + [{"d": f"12/{i:02d}/2020", "y": i % 5 / 2} for i in range(1, 8)]
    for seed in range(5):
        data = sd.data.read(said, target="y", seed=seed)
        assert dict(data.encoder.columns)["d"].format == "month/day/year"


def test_where_nothing_tells_day_from_month_the_day_is_first_and_a_finding_says_how_to_change_that():
    said = [{"d": f"{1 + i % 12:02d}/{1 + i % 7:02d}/2020", "y": i % 9 / 2} for i in range(60)]
    data = sd.data.read(said, target="y")
    assert dict(data.encoder.columns)["d"].format == "day/month/year"
    (doubt,) = data.notes
    assert "columns={'d': 'month-first'}" in doubt and "--column d=month-first" in doubt
    assert doubt in data.findings
    for word, format in (("month-first", "month/day/year"), ("day-first", "day/month/year")):
        sure = sd.data.read(said, target="y", columns={"d": word})
        assert dict(sure.encoder.columns)["d"].format == format and sure.notes == ()


@pytest.mark.parametrize(
    ("encoding", "values", "said"),
    [
        (Date(), ("01/31/2020", "31/01/2020"), r"written month/day/year, such as 12/31/2024; row 1 has '31/01/2020'"),
        (Date("day-first"), ("31/01/2020", None, "01/31/2020"), "day/month/year, .*; row 2 has '01/31/2020'"),
        (Date("month-first"), ("2020-01-31",), "dates with the month first; row 0 has '2020-01-31'"),
        (Date(), (None, "soon"), "dates such as 2024-07-01 or 31/12/2024; row 1 has 'soon'"),
        (Date(), (None, ""), "all of its dates are missing"),
    ],
)
def test_a_column_that_is_said_to_hold_dates_and_does_not_is_refused(encoding, values, said):
    with pytest.raises(DataError, match=said):
        encoding.fit(text(*values))


def test_a_format_that_is_none_is_refused():
    with pytest.raises(ArgumentError, match="did you mean 'day/month/year'"):
        Date("day/month/years")


def test_rows_are_split_in_the_order_of_dates_written_as_text():
    said = rows("month/day/year")[::-1]
    for row in said:
        row["n"] = row["price"]
    for drop in ((), ("sold",)):
        data = sd.data.read(said, target="price", time="sold", drop=drop, columns={"n": sd.data.Numeric("none")})
        n = list(data.encoder.features).index("n")
        assert data.train.rows == 42 and data.test.rows == 9
        newest = [part.y.max() if name == "train" else part.y.min() for name, part in data.splits.items()]
        assert data.train.x[:, n].max() == newest[0] == 6 * 41 + 1 and data.test.y.min() == 6 * 51 + 1
    with pytest.raises(DataError, match="column 'sold': it takes dates .* row 0 has 'later'"):
        sd.data.read([row | {"sold": "later"} for row in said], target="price", time="sold")


def months(path, n=144):
    """A series such as that of the airline passengers: year-month, and a number."""
    lines = [f"{1949 + i // 12}-{1 + i % 12:02d},{100 + i + 20 * (i % 12)}" for i in range(n)]
    path.write_text("\n".join(["Month,Passengers", *lines]) + "\n")
    return path


def test_a_series_needs_nothing_but_a_date_and_the_past_of_its_target(tmp_path):
    path = months(tmp_path / "air.csv")
    for time_column in (None, "Month"):
        data = sd.data.read(path, target="Passengers", window=Windows(12), time=time_column)
        assert dict(data.encoder.columns)["Month"].format == "year-month"
        assert data.train.x.shape == (88, 12, 6) and not data.notes
    alone = sd.data.read(path, target="Passengers", window=Windows(12), drop=["Month"])
    assert alone.train.x.shape == (88, 12, 1)
    numbered = [{"row": i, "load": i % 7 + 0.5} for i in range(60)]
    assert sd.data.read(numbered, target="load", window=Windows(5)).encoder.features == ("load",)
    network = sd.nn.Sequential(sd.nn.Flatten(), sd.nn.Dense(1))
    run = sd.fit(network, data, sd.Regress(), sd.Adam(), epochs=1, progress=False)
    assert np.isfinite(run.network(data.test.x)).all()
    backwards = path.read_text().splitlines()
    path.write_text("\n".join([backwards[0], *backwards[:0:-1]]) + "\n")
    with pytest.raises(DataError, match="sort them by 'Month' first"):
        sd.data.read(path, target="Passengers", window=Windows(12), time="Month")


def test_a_hundred_thousand_rows_take_less_than_a_second():
    column = np.array([f"{1 + i % 12:02d}/{1 + i % 28:02d}/{1900 + i % 90}" for i in range(100_000)], object)
    begin = time.process_time()
    encoder = Encoder.of({"d": column})
    assert encoder.inputs({"d": column})["x"].shape == (100_000, 5)
    assert time.process_time() - begin < 1
