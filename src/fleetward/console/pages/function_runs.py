"""The last runs of a function, the log of each, and the log as it grows. Live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from fleetward.console.operator import Operator
from fleetward.console.parts.forms import show_text
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty

LIVE_SECONDS = 3
LINES = 200
SOURCES = {"sns": "topic", "events": "schedule", "api": "call"}
TONES = {"succeeded": "good", "failed": "bad", "pending": "warn"}
COLUMNS = (
    Column("time", "Arrived", "time"),
    Column("source", "From"),
    Column("status", "Status", "state"),
    Column("attempts", "Attempts"),
    Column("error", "Last error"),
    Column("next", "Next attempt", "time"),
    Column("log", "", "action"),
)


async def draw(operator: Operator, name: str) -> None:
    async def open_log(row: Row) -> None:
        text = await _log_of_run(operator, name, row["key"], row["time"])
        show_text("Log of the run", lambda: TextElement(tag="pre", text=text).classes("log"))

    async def refresh() -> None:
        await listing.refresh()
        log.set_text(await _latest(operator, name))

    heading("Last runs")
    listing = Listing(
        operator,
        COLUMNS,
        _row,
        "fleetward",
        "ListFunctionRuns",
        "runs",
        _nothing,
        act=open_log,
        functionName=name,
    )
    await listing.show()
    heading("Log")
    log = TextElement(tag="pre", text=await _latest(operator, name)).classes("log card").props("tabindex=0")
    ui.timer(LIVE_SECONDS, refresh, immediate=False)


def _row(run: dict[str, Any]) -> Row:
    return {
        "key": run["requestId"],
        "time": millis(run["creationTime"]),
        "source": f"{SOURCES.get(run['source'], run['source'])} {run['sourceId'].partition('/')[0]}"
        if run["source"] == "events"
        else SOURCES.get(run["source"], run["source"]),
        "status": run["status"],
        "status_tone": TONES.get(run["status"], ""),
        "attempts": f"{run['attempts']} of {run['maxAttempts']}",
        "error": run.get("error") or "–",
        "next": millis(run.get("nextAttemptTime")),
        "log": "Log" if run["attempts"] else "",
    }


def _nothing() -> None:
    empty("No runs yet", "Messages and schedules that set it off appear here; tests do in the log.", "history")


# --- the log ----------------------------------------------------------------------------------------------------------


def _group(name: str) -> str:
    return f"/aws/lambda/{name}"


async def _latest(operator: Operator, name: str) -> str:
    """The end of the newest stream."""
    groups = await operator.do("logs", "DescribeLogGroups", logGroupNamePrefix=_group(name), limit=1)
    if _group(name) not in [group["logGroupName"] for group in groups["logGroups"]]:
        return "Nothing was printed yet."
    found = await operator.do(
        "logs", "DescribeLogStreams", logGroupName=_group(name), orderBy="LastEventTime", descending=True, limit=1
    )
    if not found["logStreams"]:
        return "Nothing was printed yet."
    answer = await operator.do(
        "logs",
        "GetLogEvents",
        logGroupName=_group(name),
        logStreamName=found["logStreams"][0]["logStreamName"],
        limit=LINES,
    )
    return _text(answer["events"])


async def _log_of_run(operator: Operator, name: str, request_id: str, since: int) -> str:
    """Between the lines that name the run, of each attempt: what was printed there, and the traceback."""
    marks = await operator.all(
        "logs",
        "FilterLogEvents",
        "events",
        logGroupName=_group(name),
        filterPattern=f'"RequestId: {request_id}"',
        startTime=since,
    )
    parts = [await _between(operator, name, of_stream) for of_stream in _by_stream(marks)]
    return "\n\n".join(parts) or "Its log is no longer kept."


def _by_stream(marks: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """(stream, first time, last time) of the lines that name a run."""
    spans: dict[str, list[int]] = {}
    for mark in marks:
        spans.setdefault(mark["logStreamName"], []).append(millis(mark["timestamp"]) or 0)
    return [(stream, min(times), max(times)) for stream, times in spans.items()]


async def _between(operator: Operator, name: str, span: tuple[str, int, int]) -> str:
    stream, first, last = span
    answer = await operator.do(
        "logs",
        "GetLogEvents",
        logGroupName=_group(name),
        logStreamName=stream,
        startTime=first,
        endTime=last + 1,
        startFromHead=True,
        limit=LINES,
    )
    return _text(answer["events"])


def _text(events: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(event["message"].rstrip("\n").replace("\xa0", " ") for event in events)
