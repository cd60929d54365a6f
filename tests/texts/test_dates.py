"""Dates of numbers alone: which may be read in two ways, what others show, and what is no date."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.texts.dates import is_date, is_open, order_in, read_moment, shown_order


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["10/02/2023", "01/12/2023", "25/03/2023"], "day"),
        (["10/02/2023", "03/25/2023"], "month"),
        (["10/02/2023", "01/12/2023"], None),
        (["13/01/2023", "01/13/2023"], None),
        (["01.02.2023"], "day"),
        (["5/5/2023"], None),
        (["2023-13-01", "25 March 2023", "99/99/2023", ""], None),
        (["25/3/23 09:05"], "day"),
    ],
)
def test_what_stands_first_is_shown_by_dates_that_can_be_read_one_way_only(texts, order):
    assert shown_order(texts).order == order


@pytest.mark.parametrize(
    ("text", "order", "moment"),
    [
        ("13/01/2020 09:00", None, "2020-01-13T09:00"),
        ("01/13/2020 9:00 PM", None, "2020-01-13T21:00"),
        ("1/13/20 12:30 am", None, "2020-01-13T00:30"),
        ("13.01.1999, 09:00:01.5", None, "1999-01-13T09:00:01.500000"),
        ("13-1-70", None, "1970-01-13"),
        ("1/2/2020 10:06", "day", "2020-02-01T10:06"),
        ("1/2/2020 10:06", "month", "2020-01-02T10:06"),
        ("1/2/2020 10:06", None, None),
        ("5/5/2020", None, "2020-05-05"),
        ("01.02.2020", "month", "2020-02-01"),
        ("2020/1/3 9:05", None, "2020-01-03T09:05"),
        ("2020-1-3", "day", "2020-01-03"),
        ("31/02/2020", None, None),
        ("13/13/2020", None, None),
        ("1/2/2020 25:00", "day", None),
        ("1/2/2020 13:00 PM", "day", None),
        ("1/2.2020", "day", None),
        ("1/2/2020 and more", "day", None),
        ("0/1/2020", "day", None),
    ],
)
def test_moments(text, order, moment):
    assert read_moment(text, order) == (None if moment is None else datetime.fromisoformat(moment))


@given(st.datetimes(datetime(1971, 1, 1), datetime(2068, 12, 31)), st.sampled_from("/-"), st.booleans())
def test_a_day_is_open_where_it_could_be_a_month(when, sign, month_first):
    parts = [when.month, when.day] if month_first else [when.day, when.month]
    text = sign.join(map(str, [*parts, when.year]))
    assert is_open(text) == (when.day <= 12 and when.day != when.month)
    day = datetime(when.year, when.month, when.day)
    assert read_moment(text, "month" if month_first else "day") == day
    assert (read_moment(text) is None) == is_open(text)
    assert read_moment(f"{text} {when:%H:%M:%S.%f}", "month" if month_first else "day") - day < timedelta(days=1)


def test_dates_within_a_text():
    assert order_in("Released on 05/06/2024, tested on 25/06/2024.").order == "day"
    assert order_in("See 1/2/2024/3 and v13/01/2024-2, price 13/01.").order is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018-08-01 00:00:00 UTC", "2018-08-01T00:00:00+00:00"),
        ("2018-08-01 09:30:00.250000 UTC", "2018-08-01T09:30:00.25+00:00"),
        ("2018-08-01 09:30:00.123456789 UTC", "2018-08-01T09:30:00.123456+00:00"),
        ("2018-08-01T09:30:00Z", "2018-08-01T09:30:00+00:00"),
        ("2018-08-01 09:30 GMT", "2018-08-01T09:30:00+00:00"),
        ("2018-08-01 09:30:00 +00:00", "2018-08-01T09:30:00+00:00"),
        ("2018-08-01 09:30:00+08", "2018-08-01T09:30:00+08:00"),
        ("2018-08-01 09:30:00 -0430", "2018-08-01T09:30:00-04:30"),
        ("2018-08-01 09:30:00 UTC+8", None),
        ("2018-08-01 09:30:00 UTC+08:00", "2018-08-01T09:30:00+08:00"),
        ("13/08/2018 9:30 PM GMT", "2018-08-13T21:30:00+00:00"),
        ("2018/08/01 09:30:00 utc", "2018-08-01T09:30:00+00:00"),
        ("2018-08-01 09:30:00 +99:00", None),
        ("2018-08-01 09:30:00 CST", None),
        ("2018-08-01 UTC", None),
    ],
)
def test_a_clock_may_name_its_zone(text: str, moment: str | None):
    assert read_moment(text) == (None if moment is None else datetime.fromisoformat(moment))


@pytest.mark.parametrize("zone", ["", " UTC", "Z", " GMT", " +02:00"])
def test_dates_with_a_zone_show_what_stands_first(zone: str):
    assert is_open(f"05/06/2024 10:00{zone}")
    assert shown_order([f"05/06/2024 10:00{zone}", f"25/06/2024 10:00{zone}"]).order == "day"


@given(st.dates())
def test_each_day_that_there_is_is_a_date_and_so_are_its_month_and_year(day):
    text = day.isoformat()
    assert is_date(text)
    assert is_date(text[:7])
    assert is_date(text[:4])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "July",
        "2024-13",
        "2024-13-45",
        "2015-02-31",
        "2023-02-29",
        "2024-00-10",
        "2024-01-00",
        "0000",
        "24-01-01",
        "2024-1-1",
        "2024-01-01T00",
        "２０２４",
    ],
)
def test_what_is_no_date_is_told(text):
    assert not is_date(text)
