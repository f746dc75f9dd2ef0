"""Schedule expressions: `rate(5 minutes)` and AWS's six-field `cron(0 12 * * ? *)`, in UTC.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
Ours beyond AWS: `rate(N seconds)`. Not here: the cron wildcard `W` (nearest weekday).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from dateutil.rrule import DAILY, MONTHLY, rrule, weekday

from fleetward.errors import Validation
from fleetward.model import Millis

_UNITS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_RATE = re.compile(r"rate\((\d{1,9}) (second|minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((.+)\)")

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_YEARS = range(1970, 2200)


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
    """`rule` holds the arguments of dateutil's rrule; `years` those that count."""

    rule: Mapping[str, Any]
    years: frozenset[int]

    @property
    def grace(self) -> Millis:
        return 60_000

    def after(self, moment: Millis) -> Millis | None:
        start = datetime.fromtimestamp(moment / 1000, UTC).replace(tzinfo=None)
        for year in sorted(year for year in self.years if year >= start.year):
            found = self._first_in(year, start)
            if found is not None:
                return int(found.replace(tzinfo=UTC).timestamp()) * 1000
        return None

    def latest(self, moment: Millis) -> Millis | None:
        found = self.after(moment - self.grace)
        while found is not None and found <= moment:
            following = self.after(found)
            if following is None or following > moment:
                return found
            found = following
        return None

    def _first_in(self, year: int, start: datetime) -> datetime | None:
        begin = max(datetime(year, 1, 1), start.replace(hour=0, minute=0, second=0, microsecond=0))
        if self.rule["freq"] == MONTHLY:
            begin = begin.replace(day=1)
        rule = rrule(dtstart=begin, until=datetime(year, 12, 31, 23, 59), bysecond=0, **self.rule)
        moment: datetime | None = rule.after(max(start, begin - timedelta(seconds=1)))
        return moment


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
    minutes, hours, day, month, weekdays, years = fields
    if (day == "?") == (weekdays == "?"):
        raise _invalid("one of day-of-month and day-of-week must be ?, and only one")
    rule: dict[str, Any] = {
        "freq": MONTHLY if "#" in weekdays or (weekdays.endswith("L") and weekdays != "L") else DAILY,
        "byminute": _numbers(minutes, range(60)),
        "byhour": _numbers(hours, range(24)),
        "bymonth": _numbers(month, range(1, 13), _MONTHS),
    }
    if day != "?":
        rule["bymonthday"] = [-1] if day == "L" else _numbers(day, range(1, 32))
    else:
        rule["byweekday"] = _weekdays(weekdays)
    schedule = Cron(rule, frozenset(_numbers(years, _YEARS)))
    if schedule.after(0) is None:
        raise _invalid("it never fires")
    return schedule


def _weekdays(field: str) -> list[weekday]:
    if field == "L":
        field = "SAT"
    if match := re.fullmatch(r"(\w+)#([1-5])", field):
        return [_weekday(number)(int(match[2])) for number in _numbers(match[1], range(1, 8), _WEEKDAYS)]
    if match := re.fullmatch(r"(\w+)L", field):
        return [_weekday(number)(-1) for number in _numbers(match[1], range(1, 8), _WEEKDAYS)]
    return [_weekday(number) for number in _numbers(field, range(1, 8), _WEEKDAYS)]


def _weekday(number: int) -> weekday:
    """AWS counts from Sunday = 1, dateutil from Monday = 0."""
    return weekday((number - 2) % 7)


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
