"""Schedule expressions: `rate(5 minutes)` and AWS's six-field `cron(0 12 * * ? *)`, in UTC.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
Ours beyond AWS: `rate(N seconds)`.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol, TypeAlias

from fleetward.errors import Validation
from fleetward.model import Millis

DayRule: TypeAlias = Callable[[int, int], list[int]]
"""(year, month) → the days of that month, in order."""

_UNITS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_RATE = re.compile(r"rate\((\d{1,9}) (second|minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((.+)\)")

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_YEARS = range(1970, 2200)
_SATURDAY = 7


class Schedule(Protocol):
    """A set of moments (slot starts)."""

    @property
    def grace(self) -> Millis:
        """How late a slot may still be fired."""

    def after(self, moment: Millis) -> Millis | None:
        """The first slot start later than `moment`, or None when there is none."""

    def latest(self, moment: Millis) -> Millis | None:
        """The last slot start not later than `moment` and not too old to matter."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Every `period` ms, at whole multiples of it since the epoch."""

    period: Millis

    @property
    def grace(self) -> Millis:
        return min(self.period // 2, 60_000)

    def after(self, moment: Millis) -> Millis | None:
        return (moment // self.period + 1) * self.period

    def latest(self, moment: Millis) -> Millis | None:
        return moment // self.period * self.period


@dataclass(frozen=True, slots=True)
class Cron:
    """The values of each field, in order."""

    minutes: list[int]
    hours: list[int]
    days: DayRule
    months: list[int]
    years: list[int]

    @property
    def grace(self) -> Millis:
        return 60_000

    def after(self, moment: Millis) -> Millis | None:
        start = datetime.fromtimestamp(moment / 1000, UTC).date()
        for day in self._days_from(start):
            midnight = calendar.timegm(day.timetuple())
            for hour in self.hours:
                for minute in self.minutes:
                    slot = (midnight + hour * 3600 + minute * 60) * 1000
                    if slot > moment:
                        return slot
        return None

    def latest(self, moment: Millis) -> Millis | None:
        found, following = None, self.after(moment - self.grace)
        while following is not None and following <= moment:
            found, following = following, self.after(following)
        return found

    def _days_from(self, start: date) -> Iterator[date]:
        for year in self.years:
            for month in self.months:
                if (year, month) >= (start.year, start.month):
                    days = (date(year, month, day) for day in self.days(year, month))
                    yield from (day for day in days if day >= start)


def parse(expression: str) -> Schedule:
    """Raises Validation for anything AWS refuses, and for a cron that never fires."""
    if match := _RATE.fullmatch(expression):
        return _rate(int(match[1]), match[2], bool(match[3]))
    if match := _CRON.fullmatch(expression):
        return _cron(match[1].split())
    raise _invalid()


def _rate(value: int, unit: str, plural: bool) -> Rate:
    if value < 1 or plural != (value != 1):
        raise _invalid("a rate is written rate(1 minute) or rate(5 minutes)")
    return Rate(value * _UNITS[unit])


def _cron(fields: list[str]) -> Cron:
    if len(fields) != 6:
        raise _invalid("cron takes six fields: minutes hours day-of-month month day-of-week year")
    minutes, hours, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise _invalid("one of day-of-month and day-of-week must be ?, and only one")
    schedule = Cron(
        _numbers(minutes, range(60)),
        _numbers(hours, range(24)),
        _days_of_month(day) if weekday == "?" else _days_of_week(weekday),
        _numbers(month, range(1, 13), _MONTHS),
        _numbers(year, _YEARS),
    )
    if schedule.after(0) is None:
        raise _invalid("it never fires")
    return schedule


def _days_of_month(field: str) -> DayRule:
    """`L`: the last day; `15W`: the weekday nearest to the 15th, in the same month."""
    if field == "L":
        return lambda year, month: [_last_day(year, month)]
    if match := re.fullmatch(r"(\d+)W", field):
        day = _number(match[1], range(1, 32), ())
        return lambda year, month: _nearest_weekday(year, month, day)
    days = _numbers(field, range(1, 32))
    return lambda year, month: [day for day in days if day <= _last_day(year, month)]


def _nearest_weekday(year: int, month: int, day: int) -> list[int]:
    last = _last_day(year, month)
    if day > last:
        return []
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return [day - 1 if day > 1 else day + 2]
    if weekday == calendar.SUNDAY:
        return [day + 1 if day < last else day - 2]
    return [day]


def _days_of_week(field: str) -> DayRule:
    """`L`: Saturday; `6L`: the last Friday of the month; `2#1`: its first Monday."""
    if match := re.fullmatch(r"(\w+)#([1-5])", field):
        weekday, which = _number(match[1], range(1, 8), _WEEKDAYS), int(match[2])
        return lambda year, month: _days_on(year, month, [weekday])[which - 1 : which]
    if match := re.fullmatch(r"(\w+)L", field):
        weekday = _number(match[1], range(1, 8), _WEEKDAYS)
        return lambda year, month: _days_on(year, month, [weekday])[-1:]
    weekdays = [_SATURDAY] if field == "L" else _numbers(field, range(1, 8), _WEEKDAYS)
    return lambda year, month: _days_on(year, month, weekdays)


def _days_on(year: int, month: int, weekdays: list[int]) -> list[int]:
    """AWS counts from Sunday = 1, Python from Monday = 0."""
    days = range(1, _last_day(year, month) + 1)
    return [day for day in days if (calendar.weekday(year, month, day) + 1) % 7 + 1 in weekdays]


def _last_day(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _numbers(field: str, allowed: range, names: tuple[str, ...] = ()) -> list[int]:
    """The values of one field: `*`, `5`, `1-5`, `MON-FRI`, `*/15`, `10/5`, and lists of these."""
    return sorted({number for part in field.split(",") for number in _part(part, allowed, names)})


def _part(part: str, allowed: range, names: tuple[str, ...]) -> range:
    match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d{1,4}))?", part)
    if match is None:
        raise _invalid(f"{part!r} is not understood")
    step = int(match[3]) if match[3] else 1
    first = allowed.start if match[1] == "*" else _number(match[1], allowed, names)
    if match[2] is not None:
        last = _number(match[2], allowed, names)
    else:
        last = allowed.stop - 1 if match[1] == "*" or match[3] else first
    if step < 1 or last < first or (match[1] == "*" and match[2] is not None):
        raise _invalid(f"{part!r} holds no value")
    return range(first, last + 1, step)


def _number(text: str, allowed: range, names: tuple[str, ...]) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + 1
    if not text.isascii() or not text.isdigit() or int(text) not in allowed:
        raise _invalid(
            f"{text!r} is not one of {names[0] + '-' + names[-1] + ' or ' if names else ''}"
            f"{allowed.start}-{allowed.stop - 1}"
        )
    return int(text)


def _invalid(why: str = "") -> Validation:
    return Validation("Parameter ScheduleExpression is not valid." + (f" Reason: {why}." if why else ""))
