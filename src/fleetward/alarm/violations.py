"""Violations and their events as they are kept: found, listed, verified, pruned. The recorder writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.alarm.lifecycle import State
from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import violation_events, violations


@dataclass(frozen=True, slots=True)
class Filter:
    """What a listing keeps; None keeps all. `suppressed` True keeps only violations whose alerts are suppressed."""

    thing: str | None = None
    profile: str | None = None
    criteria_type: str | None = None
    suppressed: bool | None = None
    verification_state: str | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        wanted = {
            violations.c.thing: self.thing,
            violations.c.profile: self.profile,
            violations.c.criteria_type: self.criteria_type,
            violations.c.suppressed: self.suppressed,
            violations.c.verification_state: self.verification_state,
        }
        return [column == value for column, value in wanted.items() if value is not None]


def find_violation(look: Reader, violation_id: str) -> RowMapping | None:
    return look.one(sa.select(violations).where(violations.c.id == violation_id))


def open_violations(look: Reader) -> Sequence[RowMapping]:
    """Every open violation, in the order in which they were raised."""
    return look.all(active(Filter()).order_by(violations.c.number))


def count_open(look: Reader) -> int:
    return int(look.scalar(sa.select(sa.func.count()).where(violations.c.state == State.IN_ALARM)))


def count_things(look: Reader) -> int:
    """How many devices have an open violation."""
    distinct = sa.func.count(sa.distinct(violations.c.thing))
    return int(look.scalar(sa.select(distinct).where(violations.c.state == State.IN_ALARM)))


def active(kept: Filter) -> sa.Select[Any]:
    """The open violations that a filter keeps; `violations.c.number` counts up in the order of recording."""
    return sa.select(violations).where(violations.c.state == State.IN_ALARM, *kept.conditions())


def events_between(start: Millis, end: Millis, kept: Filter) -> sa.Select[Any]:
    """The events of [start, end] that a filter keeps, each with its violation's columns.

    `violation_events.c.number` counts up in the order of recording.
    """
    event = violation_events.c
    of_the_violation = (column for column in violations.c if column.name not in event)
    return (
        sa.select(violation_events, *of_the_violation)
        .join(violations)
        .where(event.time.between(start, end), *kept.conditions())
    )


def verify(tx: Transaction, violation_id: str, state: str, description: str | None) -> None:
    """Records a person's verdict on a violation, open or ended; an unknown id is an InvalidRequest, as at AWS."""
    values = {"verification_state": state, "verification_description": description}
    changed = tx.execute(violations.update().where(violations.c.id == violation_id).values(**values))
    if not changed.rowcount:
        raise errors.InvalidRequest(f"Violation {violation_id} not found.")


def prune(tx: Transaction, before: Millis) -> int:
    """Deletes violations that ended before `before`, with their events; returns how many."""
    deleted: sa.CursorResult[Any] = tx.execute(violations.delete().where(violations.c.ended_at < before))
    return deleted.rowcount
