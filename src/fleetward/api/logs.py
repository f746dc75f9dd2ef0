"""logs: what functions print."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page_of
from fleetward.arn import parse as parse_arn
from fleetward.functions import log_pattern, logs
from fleetward.functions.logs import Span
from fleetward.store.database import Reader

MAX_EVENTS = 10_000
MAX_BYTES = 1_048_576
"""Of the messages in one answer, as on AWS."""
SCAN = 1000
"""Events looked at in one go while filtering, and …"""
MAX_SCANS = 20
"""… how often, before the caller gets what there is and a token to go on."""

# --- groups -----------------------------------------------------------------------------------------------------------


def create_log_group(call: Call) -> None:
    with call.transaction() as tx:
        logs.create_group(tx, call.params["logGroupName"])


def delete_log_group(call: Call) -> None:
    call.rooms.functions.logs.flush()
    with call.transaction() as tx:
        logs.delete_group(tx, call.params["logGroupName"])


def put_retention_policy(call: Call) -> None:
    with call.transaction() as tx:
        logs.set_retention(tx, call.params["logGroupName"], call.params["retentionInDays"])


def delete_retention_policy(call: Call) -> None:
    with call.transaction() as tx:
        logs.set_retention(tx, call.params["logGroupName"], None)


def describe_log_groups(call: Call) -> dict[str, Any]:
    call.rooms.functions.logs.flush()
    part = call.params.get("logGroupNamePattern", "")
    with call.read() as look:
        found = logs.groups(look, call.params.get("logGroupNamePrefix", ""))
    rows, token = page_of(call, [row for row in found if part in row["name"]])
    return {"logGroups": [_shown_group(call, row) for row in rows], "nextToken": token}


def _shown_group(call: Call, row: RowMapping) -> dict[str, Any]:
    arn = call.rooms.arns.log_group(row["name"])
    return {
        "logGroupName": row["name"],
        "creationTime": row["created_at"],
        "retentionInDays": row["retention_days"],
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": row["size"],
        "logGroupClass": "STANDARD",
    }


# --- streams ----------------------------------------------------------------------------------------------------------


def describe_log_streams(call: Call) -> dict[str, Any]:
    call.rooms.functions.logs.flush()
    group = _group(call)
    with call.read() as look:
        rows = logs.streams(look, group, call.params.get("logStreamNamePrefix", ""))
    by_time = call.params.get("orderBy") == "LastEventTime"
    ordered = sorted(rows, key=lambda row: (row["last_event_at"] if by_time else 0, row["name"]))
    if call.params.get("descending"):
        ordered.reverse()
    page, token = page_of(call, ordered)
    return {"logStreams": [_shown_stream(call, group, row) for row in page], "nextToken": token}


def _shown_stream(call: Call, group: str, row: RowMapping) -> dict[str, Any]:
    return {
        "logStreamName": row["name"],
        "creationTime": row["created_at"],
        "firstEventTimestamp": row["created_at"],
        "lastEventTimestamp": row["last_event_at"],
        "lastIngestionTime": row["last_event_at"],
        "arn": f"{call.rooms.arns.log_group(group)}:log-stream:{row['name']}",
        "storedBytes": 0,  # AWS has reported 0 for every stream since 2019.
    }


# --- events -----------------------------------------------------------------------------------------------------------


def get_log_events(call: Call) -> dict[str, Any]:
    """A page in the direction of the token; without one the newest events, or the oldest with `startFromHead`."""
    call.rooms.functions.logs.flush()
    params, group = call.params, _group(call)
    limit = min(params.get("limit", MAX_EVENTS), MAX_EVENTS)
    direction, place = _place(params.get("nextToken"))
    after, before = (place, None) if direction == "f" else (None, place)
    newest = direction == "b" or (direction is None and not params.get("startFromHead"))
    with call.read() as look:
        logs.get_stream(look, group, params["logStreamName"])
        span = Span(params.get("startTime"), params.get("endTime"), after, before)
        rows = logs.events(look, group, [params["logStreamName"]], span, limit, newest)
    rows = _fitting(rows, newest)
    last, first = (rows[-1]["id"], rows[0]["id"]) if rows else (place or 0, place or 0)
    return {
        "events": [_shown_event(row) for row in rows],
        "nextForwardToken": f"f/{last}",
        "nextBackwardToken": f"b/{first}",
    }


def filter_log_events(call: Call) -> dict[str, Any]:
    call.rooms.functions.logs.flush()
    params = call.params
    matches = log_pattern.parse(params.get("filterPattern", ""))
    limit = min(params.get("limit", MAX_EVENTS), MAX_EVENTS)
    found: list[RowMapping] = []
    size, (_, place) = 0, _place(params.get("nextToken"))
    with call.read() as look:
        group = _group(call)
        names = _streams(call, look, group)
        for _ in range(MAX_SCANS):
            span = Span(params.get("startTime"), params.get("endTime"), place)
            rows = logs.events(look, group, names, span, SCAN)
            for row in rows:
                if matches(row["message"]):
                    size += len(row["message"])
                    if len(found) == limit or (size > MAX_BYTES and found):
                        return _filtered(found, place)
                    found.append(row)
                place = row["id"]
            if len(rows) < SCAN:
                return _filtered(found, None)
    return _filtered(found, place)


def _filtered(rows: Sequence[RowMapping], place: int | None) -> dict[str, Any]:
    events = [{**_shown_event(row), "logStreamName": row["stream_name"], "eventId": str(row["id"])} for row in rows]
    return {"events": events, "searchedLogStreams": [], "nextToken": f"f/{place}" if place is not None else None}


def _streams(call: Call, look: Reader, group: str) -> Sequence[str] | None:
    """The streams to look through; None for all of the group."""
    logs.get_group(look, group)
    if prefix := call.params.get("logStreamNamePrefix"):
        return [row["name"] for row in logs.streams(look, group, prefix)]
    names: Sequence[str] | None = call.params.get("logStreamNames")
    return names


def _shown_event(row: RowMapping) -> dict[str, Any]:
    return {"timestamp": row["time"], "message": row["message"], "ingestionTime": row["ingested_at"]}


def _fitting(rows: Sequence[RowMapping], newest: bool) -> Sequence[RowMapping]:
    """As many events as one answer may hold, from the end that was asked for."""
    size, count = 0, 0
    for row in reversed(rows) if newest else rows:
        size += len(row["message"])
        if size > MAX_BYTES and count:
            break
        count += 1
    return rows[len(rows) - count :] if newest else rows[:count]


def _group(call: Call) -> str:
    """The group's name, from logGroupName or from logGroupIdentifier (a name or an ARN)."""
    name = call.params.get("logGroupName")
    identifier = call.params.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise errors.InvalidParameter("Exactly one of logGroupName and logGroupIdentifier must be given")
    arn = parse_arn(identifier) if identifier else None
    return str(arn.name if arn is not None else identifier or name)


def _place(token: str | None) -> tuple[str | None, int | None]:
    if token is None:
        return None, None
    match = re.fullmatch(r"([fb])/(\d{1,18})", token)
    if match is None:
        raise errors.InvalidParameter("The specified nextToken is invalid.")
    return match[1], int(match[2])
