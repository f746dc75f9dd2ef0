"""Violations and their events as they are kept: found, listed, verified, pruned. The recorder writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.alarm.lifecycle import State
from fleetward.model import Millis
from fleetward.registry.names import begins_with, near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import violation_events, violations

IDS_NAMED = 5
"""Ids that a refusal names."""
PRUNED_AT_ONCE = 500
"""Violations deleted in one transaction: whoever else wants to write waits no longer than for these."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a listing keeps; None keeps all.

    `suppressed` True keeps only violations whose alerts are suppressed; `since`, those that were raised since then.
    """

    thing: str | None = None
    profile: str | None = None
    criteria_type: str | None = None
    suppressed: bool | None = None
    verification_state: str | None = None
    is_open: bool | None = None
    since: Millis | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        wanted = {
            violations.c.thing: self.thing,
            violations.c.profile: self.profile,
            violations.c.criteria_type: self.criteria_type,
            violations.c.suppressed: self.suppressed,
            violations.c.verification_state: self.verification_state,
        }
        conditions = [column == value for column, value in wanted.items() if value is not None]
        if self.is_open is not None:
            state = violations.c.state
            conditions.append(state == State.IN_ALARM if self.is_open else state != State.IN_ALARM)
        if self.since is not None:
            conditions.append(violations.c.started_at >= self.since)
        return conditions


def find_violation(look: Reader, violation_id: str) -> RowMapping | None:
    return look.one(sa.select(violations).where(violations.c.id == violation_id))


def get(look: Reader, beginning: str) -> RowMapping:
    """The violation whose id is, or alone begins with, `beginning`.

    ResourceNotFound when there is none, Validation when there are several.
    """
    ids = violations.c.id
    found = look.all(sa.select(violations).where(begins_with(ids, beginning)).order_by(ids).limit(IDS_NAMED + 1))
    if len(found) == 1 or (found and found[0]["id"] == beginning):
        return found[0]
    if found:
        named = ", ".join(row["id"] for row in found[:IDS_NAMED]) + (", …" if len(found) > IDS_NAMED else "")
        raise errors.Validation(f"violationId {beginning} begins several violations, give more of it: {named}")
    raise errors.ResourceNotFound(f"Violation {beginning} not found.{_hint(look, beginning)}")


def _hint(look: Reader, wanted: str) -> str:
    if look.one(sa.select(violations.c.id).where(violations.c.thing == wanted).limit(1)) is not None:
        return f" {wanted} is a device: `fleetward violations {wanted}` lists its violations."
    return near_name(look, violations.c.id, wanted, as_beginning=True)


def events_of(look: Reader, violation_id: str) -> Sequence[RowMapping]:
    """The events of one violation, in the order in which they happened."""
    event = violation_events.c
    return look.all(sa.select(violation_events).where(event.violation_id == violation_id).order_by(event.number))


def open_violations(look: Reader) -> Sequence[RowMapping]:
    """Every open violation, in the order in which they were raised."""
    return look.all(active(Filter()).order_by(violations.c.number))


def count_open(look: Reader) -> int:
    return int(look.scalar(sa.select(sa.func.count()).where(violations.c.state == State.IN_ALARM)))


def count_things(look: Reader) -> int:
    """How many devices have an open violation."""
    distinct = sa.func.count(sa.distinct(violations.c.thing))
    return int(look.scalar(sa.select(distinct).where(violations.c.state == State.IN_ALARM)))


def recorded(kept: Filter) -> sa.Select[Any]:
    """The violations that a filter keeps; `violations.c.number` counts up in the order of recording."""
    return sa.select(violations).where(*kept.conditions())


def active(kept: Filter) -> sa.Select[Any]:
    """The open violations that a filter keeps."""
    return recorded(replace(kept, is_open=True))


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
    """Deletes at most PRUNED_AT_ONCE violations that ended before `before`, with their events; returns how many."""
    number = violations.c.number
    some = sa.select(number).where(violations.c.ended_at < before).order_by(violations.c.ended_at).limit(PRUNED_AT_ONCE)
    deleted: sa.CursorResult[Any] = tx.execute(violations.delete().where(number.in_(some)))
    return deleted.rowcount
