"""Rate and cron expressions."""

import calendar
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.errors import Validation
from fleetward.functions.expressions import parse

MOMENTS = st.integers(0, 4_000_000_000_000)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@given(st.integers(2, 1000), st.sampled_from(["seconds", "minutes", "hours", "days"]), MOMENTS)
def test_rates_are_multiples_of_their_period(value: int, unit: str, moment: int) -> None:
    """A rate's slots start at the whole multiples of its period since the epoch; after and latest enclose a moment."""
    period = int(timedelta(**{unit: value}).total_seconds()) * 1000
    schedule = parse(f"rate({value} {unit})")
    latest, after = schedule.latest(moment), schedule.after(moment)
    assert latest is not None
    assert after == latest + period
    assert latest % period == 0
    assert latest <= moment < after
    assert schedule.after(latest - 1) == latest


@pytest.mark.parametrize(
    "expression",
    [
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(-1 minutes)",
        "rate(1.5 minutes)",
        "rate(5 weeks)",
        "rate(5)",
        "every minute",
        "",
        "cron(* * * * *)",
        "cron(* * * * * *)",
        "cron(* * ? * ? *)",
        "cron(60 * * * ? *)",
        "cron(* 24 * * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 30 2 ? *)",
        "cron(0 0 32W * ? *)",
        "cron(0 0 ? * 2#6 *)",
        "cron(5-1 * * * ? *)",
        "cron(*/0 * * * ? *)",
        "cron(0 0 ? * FUNDAY *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 * * ? 1969)",
    ],
)
def test_invalid(expression: str) -> None:
    """What AWS refuses, what never fires and what is not here is refused when it is stored."""
    with pytest.raises(Validation, match="Parameter ScheduleExpression is not valid"):
        parse(expression)


@pytest.mark.parametrize(
    ("expression", "moment", "following"),
    [
        ("cron(0 10 * * ? *)", "2026-11-24T09:59:59", "2026-11-24T10:00:00"),
        ("cron(0 10 * * ? *)", "2026-11-24T10:00:00", "2026-11-25T10:00:00"),
        ("cron(15 12 * * ? *)", "2026-12-31T12:15:00", "2027-01-01T12:15:00"),
        ("cron(0 18 ? * MON-FRI *)", "2026-11-27T18:00:00", "2026-11-30T18:00:00"),
        ("cron(0 8 1 * ? *)", "2026-11-24T00:00:00", "2026-12-01T08:00:00"),
        ("cron(0/15 * * * ? *)", "2026-11-24T10:01:00", "2026-11-24T10:15:00"),
        ("cron(*/15 8-17 ? * 2-6 *)", "2026-11-27T17:45:00", "2026-11-30T08:00:00"),
        ("cron(0 9 ? * 2#1 *)", "2026-11-24T00:00:00", "2026-12-07T09:00:00"),
        ("cron(0 0 L * ? *)", "2026-11-24T00:00:00", "2026-11-30T00:00:00"),
        ("cron(0 0 ? * 6L *)", "2026-11-24T00:00:00", "2026-11-27T00:00:00"),
        ("cron(0 0 ? * L *)", "2026-11-24T00:00:00", "2026-11-28T00:00:00"),
        ("cron(0 0 15W * ? *)", "2026-11-01T00:00:00", "2026-11-16T00:00:00"),
        ("cron(0 0 1W * ? *)", "2026-07-30T00:00:00", "2026-08-03T00:00:00"),
        ("cron(0 0 31W * ? *)", "2027-01-01T00:00:00", "2027-01-29T00:00:00"),
        ("cron(0 0 29 2 ? *)", "2026-11-24T00:00:00", "2028-02-29T00:00:00"),
        ("cron(0 12 1 jan,JUL ? 2027-2028)", "2027-07-01T12:00:00", "2028-01-01T12:00:00"),
        ("cron(0 0 1 1 ? 2020)", "2026-11-24T00:00:00", None),
    ],
)
def test_cron(expression: str, moment: str, following: str | None) -> None:
    """AWS's six fields, in UTC, with names, ranges, steps, lists, L, W and #."""
    assert parse(expression).after(at(moment)) == (at(following) if following else None)


@settings(max_examples=60)
@given(
    st.sets(st.integers(0, 59), min_size=1, max_size=4),
    st.sets(st.integers(0, 23), min_size=1, max_size=3),
    st.sets(st.integers(1, 7), min_size=1, max_size=3),
    st.integers(at("2025-01-01"), at("2030-01-01")),
)
def test_cron_against_a_walk_through_the_minutes(
    minutes: set[int], hours: set[int], weekdays: set[int], moment: int
) -> None:
    """The next slot is the first minute after the moment whose minute, hour and weekday are all listed."""

    def field(values: set[int]) -> str:
        return ",".join(map(str, values))

    walk = datetime.fromtimestamp(moment // 60_000 * 60, UTC)
    while True:
        walk += timedelta(minutes=1)
        aws_weekday = (calendar.weekday(walk.year, walk.month, walk.day) + 1) % 7 + 1
        if walk.minute in minutes and walk.hour in hours and aws_weekday in weekdays:
            break
    schedule = parse(f"cron({field(minutes)} {field(hours)} ? * {field(weekdays)} *)")
    found = schedule.after(moment)
    assert found == int(walk.timestamp()) * 1000
    assert schedule.latest(found) == schedule.latest(found + 59_999) == found
