"""Dates: text in one of a few formats, told from all values of a column, and what a network gets of a date.

A format is written in words, ``day/month/year`` for 31/12/2024; a time of day may follow the date in each.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from sonde._errors import ArgumentError, DataError, nearest
from sonde.data.encoding import Encoding, far

FORMATS = (
    *("year-month-day", "year/month/day", "year.month.day", "year-month", "year/month"),
    *("day/month/year", "month/day/year", "day.month.year", "month.day.year", "day-month-year", "month-day-year"),
    *("day/month/yy", "month/day/yy"),
)
"""What text is tried for. The order of day and month is told by a value above 12; without one the day is first."""

ORDERS = {"day-first": "day", "month-first": "month"}
"""Words that say which of two formats is meant, and how these begin."""

_FIELDS = {
    **{"year": "(?P<year>[0-9]{4})", "yy": "(?P<year>[0-9]{2})"},
    **{"month": "(?P<month>[0-9]{1,2})", "day": "(?P<day>[0-9]{1,2})"},
}
_TIME = (
    "(?:[T ] *(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}(?:[.][0-9]+)?))? *"
    "(?:(?P<half>[AaPp])[Mm])?(?:Z|(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):?(?P<zone_minute>[0-9]{2}))?)?"
)


class Date(Encoding):
    """A date: how far along (standardized), the time of year, the day of the week, and the time of day if it varies.

    What comes round again is a point on a circle, (sin, cos), so that December is beside January. Text is read in one
    format, learned from the training rows; times with an offset are taken to UTC.

    Args:
        format: how text is written: ``"year-month-day"``, ``"month/day/year"``, ... (see `FORMATS`); learned if
            nothing is said. ``"day-first"`` and ``"month-first"`` say which of two formats that both fit is meant.
        center: learned, in days since 1970.
        spread: learned, in days.
        hours: learned: whether there are times of day.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> day = sd.data.Date().fit(np.array(["01/02/2024", "31/12/2024"], object))
        >>> day.format, day.names("day")
        ('day/month/year', ('day', 'day: year sin', 'day: year cos', 'day: week sin', 'day: week cos'))
    """

    format: str = ""
    center: float = 0.0
    spread: float = 1.0
    hours: bool = False

    def check(self) -> None:
        """Refuse a format that is none."""
        if self.format and self.format not in (known := (*ORDERS, *FORMATS)):
            raise ArgumentError(f"no format of dates is called {self.format!r}{nearest(self.format, known)}")

    def told(self, values: np.ndarray) -> Date:
        """The same with its format told from text: the first that fits every value."""
        if values.dtype != object:
            return self.replace(format="") if self.format in ORDERS else self
        if self.format in FORMATS:
            return self
        start = ORDERS.get(self.format, "")
        found = [format for format in formats_of(values) if format.startswith(start)]
        if found:
            return self.replace(format=found[0])
        if not (there := _there(values)):
            raise DataError("all of its dates are missing; leave the column out")
        near = [format for format in FORMATS if format.startswith(start) and _is_like(there[0], format)]
        if near:  # the format that goes furthest; it says where it ends
            as_dates(values, max(near, key=lambda format: int(np.isnat(_parsed(there, format)).argmax())))
        what = f"dates with the {start} first" if start else "dates such as 2024-07-01 or 31/12/2024"
        row = next(i for i, v in enumerate(values) if v == there[0])
        raise DataError(f"it takes {what}; row {row} has {there[0]!r}")

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn the format, and where the dates lie."""
        told = self.told(values)
        days = told._days(values)
        there = days[~np.isnan(days)]
        if not len(there):
            raise DataError("all of its dates are missing; leave the column out")
        hours = bool((there % 1 != there[0] % 1).any())
        return told.replace(center=float(there.mean()), spread=float(there.std()) or 1.0, hours=hours)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[rows, 5] or [rows, 7]; a missing date is the middle one, and on no circle."""
        days = self._days(values)
        missing = np.isnan(days)
        circles = [days / 365.2425, (days + 3) / 7] + ([days] if self.hours else [])  # 1970-01-01 was a Thursday
        angles = [2 * np.pi * (turn % 1) for turn in circles]
        round_again = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
        features = np.stack([(days - self.center) / self.spread, *round_again], 1)
        features[missing] = 0
        return features.astype(np.float32)

    def odd(self, values: np.ndarray) -> str:
        """Dates far from those that it was fitted on."""
        return far((self._days(values) - self.center) / self.spread, values)

    def names(self, column: str) -> tuple[str, ...]:
        """How far along, and a sine and a cosine a circle."""
        circles = ["year", "week"] + (["day"] if self.hours else [])
        return (column, *(f"{column}: {circle} {wave}" for circle in circles for wave in ("sin", "cos")))

    def _days(self, values: np.ndarray) -> np.ndarray:
        """Days since 1970, NaN where a date is missing."""
        if values.dtype == object:
            values = as_dates(values, self.format or "year-month-day")
        if values.dtype.kind == "f" and np.isnan(values).all():  # a column without a value is one of numbers
            return values
        if values.dtype.kind != "M":
            raise DataError(f"it takes dates; got {values.dtype}")
        return np.where(np.isnat(values), np.nan, values.astype("datetime64[us]").astype(np.int64) / 86_400e6)


def formats_of(values: np.ndarray) -> tuple[str, ...]:
    """The formats that every text of a column fits, the day before the month; none if it is no column of dates.

    Example:
        >>> import numpy as np
        >>> from sonde.data.dates import formats_of
        >>> formats_of(np.array(["01/02/2024", "12/01/2024"], object)), formats_of(np.array(["1949-01", None], object))
        (('day/month/year', 'month/day/year'), ('year-month',))
    """
    there = _there(values)
    like = [format for format in FORMATS if there and _is_like(there[0], format)]
    return tuple(format for format in like if not np.isnat(_parsed(there, format)).any())


def as_dates(values: np.ndarray, format: str) -> np.ndarray:
    """Text in a format as datetime64[us], NaT where it is missing.

    Raises:
        DataError: a row is not in that format.
    """
    dates = _parsed(values.tolist(), format)
    unread = np.flatnonzero(np.isnat(dates)).tolist()
    if (row := next((i for i in unread if not _is_missing(values[i])), None)) is not None:
        raise DataError(f"it takes dates written {format}, such as {_example(format)}; row {row} has {values[row]!r}")
    return dates


def _there(values: np.ndarray) -> list[str]:
    return [v for v in values.tolist() if not _is_missing(v)]


def _is_missing(value: str | None) -> bool:
    return value is None or not value.strip()


def _is_like(text: str, format: str) -> bool:
    return re.match(_pattern(format), text) is not None


def _example(format: str) -> str:
    """The last day of 2024."""
    parts = {"year": "2024", "yy": "24", "month": "12", "day": "31"}
    return re.sub(r"\w+", lambda word: parts[word[0]], format)


def _pattern(format: str) -> str:
    return r"^\s*" + re.sub(r"\w+|\.", lambda part: _FIELDS.get(part[0], r"\."), format) + _TIME + r"\s*$"


def _parsed(texts: list[Any], format: str) -> np.ndarray:
    """Text as datetime64[us], NaT where it is not in the format, or where there is no such day or hour."""
    import polars

    found = polars.Series(texts, dtype=polars.String).str.extract_groups(_pattern(format)).struct.unnest()

    def part(name: str, usual: float) -> np.ndarray:
        if name not in found.columns:
            return np.full(len(texts), usual)
        return found[name].cast(polars.Float64).fill_null(usual).to_numpy()

    def says(name: str, *marks: str) -> np.ndarray:
        return found[name].fill_null("").is_in(marks).to_numpy()

    year, month, day = part("year", 0), part("month", 0), part("day", 1)
    hour, minute, second = part("hour", 0), part("minute", 0), part("second", 0)
    if "yy" in format:
        year = year + np.where(year < 69, 2000, 1900)  # as POSIX has it
    half = says("half", *"AaPp")
    good = (month >= 1) & (month <= 12) & (day >= 1) & (minute < 60) & (second < 60)
    good &= np.where(half, (hour >= 1) & (hour <= 12), hour < 24)
    hour = np.where(half, hour % 12 + 12 * says("half", *"Pp"), hour)
    offset = np.where(says("sign", "-"), -1, 1) * (part("zone_hour", 0) * 60 + part("zone_minute", 0))
    months = ((year - 1970) * 12 + month - 1).astype("int64").astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1).astype("int64")
    good &= days.astype("datetime64[M]") == months  # no 31st of April
    since = np.round(((hour * 60 + minute - offset) * 60 + second) * 1e6).astype("int64")
    return np.where(good, days.astype("datetime64[us]") + since, np.datetime64("NaT", "us"))
