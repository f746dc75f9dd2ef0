"""fleetward: the operations beyond AWS's, for the command line and for scripts."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.api.times import datetime_of, millis_of
from fleetward.model import Decision, Measure
from fleetward.notify import outbox
from fleetward.respond.quarantine import carry_out
from fleetward.store.tables.trail import trail


def quarantine_thing(call: Call) -> dict[str, Any]:
    return {"thingGroupName": _carry_out(call, Measure.QUARANTINE)[0]}


def release_thing(call: Call) -> dict[str, Any]:
    return {"thingGroupNames": _carry_out(call, Measure.RELEASE)}


def list_outbox(call: Call) -> dict[str, Any]:
    """The mails in the local outbox, newest first."""
    settings = call.rooms.settings
    with call.read() as look:
        mails, token = page(call, look, outbox.mails_to(call.params.get("to")), outbox.table.c.id, ascending=False)
    return {
        "smtpServer": f"{settings.smtp_host}:{settings.smtp_port}" if settings.smtp_host else None,
        "mails": [
            {
                "id": str(mail["id"]),
                "to": mail["recipient"],
                "subject": mail["subject"],
                "body": mail["body"],
                "timestamp": datetime_of(mail["created_at"]),
            }
            for mail in mails
        ],
        "nextToken": token,
    }


def list_trail(call: Call) -> dict[str, Any]:
    """The audit trail, newest first."""
    statement = sa.select(trail)
    wanted = {trail.c.kind: "kind", trail.c.principal: "principal"}
    for column, member in wanted.items():
        if (value := call.params.get(member)) is not None:
            statement = statement.where(column == value)
    if (name := call.params.get("name")) is not None:
        statement = statement.where(sa.or_(trail.c.name == name, *_within(name)))
    if (start := call.params.get("startTime")) is not None:
        statement = statement.where(trail.c.time >= millis_of(start))
    if (end := call.params.get("endTime")) is not None:
        statement = statement.where(trail.c.time < millis_of(end))
    with call.read() as look:
        rows, token = page(call, look, statement, trail.c.id, ascending=False)
    return {"changes": [change(row) for row in rows], "nextToken": token}


def _within(name: str) -> list[sa.ColumnElement[bool]]:
    """Rows that name it among others, such as a member of a group."""
    ends = (trail.c.name.endswith(f"/{name}", autoescape=True), trail.c.name.startswith(f"{name}/", autoescape=True))
    return list(ends)


def change(row: RowMapping) -> dict[str, Any]:
    """A row of the trail as the API shows it."""
    return {
        "time": datetime_of(row["time"]),
        "principal": row["principal"],
        "address": row["address"],
        "operation": row["operation"],
        "requestId": row["request_id"],
        "reason": row["reason"],
        "kind": row["kind"],
        "name": row["name"],
        "before": _json(row["before"]),
        "after": _json(row["after"]),
    }


def _json(document: Any) -> str | None:
    return None if document is None else json.dumps(document)


def _carry_out(call: Call, measure: Measure) -> list[str]:
    decision = Decision(measure, call.params["thingName"], call.params.get("reason", ""))
    with call.transaction(decision.reason) as tx:
        return carry_out(tx, call.rooms.arns, decision, call.rooms.settings.quarantine_group)
