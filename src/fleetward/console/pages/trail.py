"""The audit trail: who changed what, when, from where, and what it was before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from fleetward import errors
from fleetward.console.operator import Operator
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import Moment, millis
from fleetward.console.parts.notices import empty
from fleetward.console.shell import page

COLUMNS = (
    Column("time", "When", "time"),
    Column("who", "Who"),
    Column("what", "What", "link"),
    Column("kind", "Kind"),
    Column("name", "Name"),
    Column("change", "Before → after"),
)

KINDS = (
    *("access key", "account setting", "CA certificate", "certificate", "custom metric", "dimension", "function"),
    *("function permission", "login profile", "managed policy", "managed policy version", "mitigation action"),
    *("mitigation task", "policy", "policy attachment", "policy version", "role", "role policy"),
    *("role policy attachment", "schedule", "schedule target", "security profile", "security profile target"),
    *("subscription", "tag", "thing", "thing group", "thing group member", "thing principal", "thing type", "topic"),
    *("user", "user policy", "user policy attachment"),
)

SHORT = 60
OF_ONE_REQUEST = 250
NOTHING: Mapping[str, Any] = {}


@page("/trail", "Audit trail")
async def trail(operator: Operator, name: str = "", kind: str = "") -> None:
    """`name`, `kind`: what to begin with, for links from other pages."""
    with ui.element("div").classes("toolbar").props("role=search"):
        of_name = ui.input("Name", value=name).props("outlined dense clearable")
        known = kind if kind in KINDS else None
        of_kind = ui.select(list(KINDS), label="Kind", value=known, with_input=True, clearable=True)
        of_kind.props("outlined dense").classes("field")
        principal = ui.input("Who (user name or ARN)").props("outlined dense clearable").classes("field")
        start = ui.input("From (UTC)").props("outlined dense clearable type=datetime-local stack-label")
        end = ui.input("Until (UTC)").props("outlined dense clearable type=datetime-local stack-label")

        async def search() -> None:
            await listing.show(
                name=(of_name.value or "").strip() or None,
                kind=of_kind.value or None,
                principal=await _principal(operator, (principal.value or "").strip()),
                startTime=_moment(start.value),
                endTime=_moment(end.value),
            )

        ui.button("Search", icon="search", on_click=search).props("unelevated no-caps")
        for field in (of_name, principal, start, end):
            field.on("keydown.enter", search)
    with ui.element("div").classes("trail"):
        listing = Listing(operator, COLUMNS, _row, "fleetward", "ListTrail", "changes", _nothing)
    await listing.show(name=name or None, kind=known)


@page("/trail/change", "Change")
async def change(operator: Operator, time: int, id: str = "") -> None:
    """Everything that the request of that id changed; `time` is its moment, in epoch milliseconds."""
    try:
        moment = datetime.fromtimestamp(time / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise errors.ResourceNotFound("There is no such change.") from None
    until = moment + timedelta(milliseconds=1)
    found = await operator.all(
        "fleetward", "ListTrail", "changes", most=OF_ONE_REQUEST, startTime=moment, endTime=until
    )
    changes = [one for one in reversed(found) if one["requestId"] == id]
    if not changes:
        raise errors.ResourceNotFound("There is no such change.")
    _draw_facts(changes[0])
    for one in changes:
        with ui.element("section").classes("card apart"):
            heading(f"{one['kind']} {one['name']}: {_verb(one)}")
            _draw_differences(one)


async def _principal(operator: Operator, given: str) -> str | None:
    """The ARN of who is meant."""
    if not given or given.startswith("arn:") or given == "fleetward":
        return given or None
    user = await operator.do("iam", "GetUser", UserName=given)
    return str(user["User"]["Arn"])


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    except ValueError:
        raise errors.Validation(f"{text!r} is not a date and a time.") from None


def _row(one: Mapping[str, Any]) -> Row:
    at = millis(one["time"])
    where = urlencode({"time": at, "id": one["requestId"]})
    return {
        "key": f"{at} {one['requestId']} {one['kind']} {one['name']} {one['before']} {one['after']}",
        "time": at,
        "who": _who(one["principal"]),
        "what": one["operation"] or "by itself",
        "what_href": f"/console/trail/change?{where}",
        "kind": one["kind"],
        "name": one["name"],
        "change": _summary(one),
    }


def _nothing() -> None:
    empty("No changes", "Whatever somebody changes is written down here; or no change fits what you search.", "history")


def _who(principal: str) -> str:
    """The ARN's last part: `user/ana`, `root`."""
    return principal.rsplit(":", 1)[-1] or principal


def _verb(one: Mapping[str, Any]) -> str:
    if one["before"] is None:
        return "created"
    return "deleted" if one["after"] is None else "changed"


def _summary(one: Mapping[str, Any]) -> str:
    verb = _verb(one)
    if verb != "changed":
        return verb
    told = [f"{name}: {_short(old)} → {_short(new)}" for name, old, new in _differences(one)]
    return "; ".join(told[:3]) + (f"; {len(told) - 3} more" if len(told) > 3 else "")


# --- differences ------------------------------------------------------------------------------------------------------


def _draw_facts(one: Mapping[str, Any]) -> None:
    facts = {
        "Who": one["principal"],
        "Operation": one["operation"],
        "From": one["address"],
        "Reason": one["reason"],
        "Request": one["requestId"],
    }
    with ui.element("dl").classes("facts card"):
        with ui.element("dt"):
            ui.label("When")
        with ui.element("dd"):
            Moment(one["time"])
        for name, value in facts.items():
            if value:
                with ui.element("dt"):
                    ui.label(name)
                with ui.element("dd"):
                    ui.label(value)


def _draw_differences(one: Mapping[str, Any]) -> None:
    """Changed members side by side; all of them when it was made or deleted."""
    with ui.element("div").classes("differences"):
        for title in ("Member", "Before", "After"):
            ui.label(title).classes("head")
        for name, old, new in _differences(one):
            ui.label(name).classes("member")
            for value in (old, new):
                if name.endswith("_at") and isinstance(value, int):
                    with ui.element("div"):
                        Moment(value)
                else:
                    with ui.element("pre"):
                        ui.label(_pretty(value))


def _differences(one: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    before, after = (_members(one[side]) for side in ("before", "after"))
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, NOTHING), after.get(name, NOTHING)
        if old != new:
            yield name, old, new


def _members(document: str | None) -> Mapping[str, Any]:
    value = NOTHING if document is None else json.loads(document)
    return value if isinstance(value, dict) else {"": value}


def _pretty(value: Any) -> str:
    """JSON documents, also those that are kept as text, over several lines."""
    if value is NOTHING:
        return "–"
    if isinstance(value, str):
        try:
            document = json.loads(value)
        except ValueError:
            return value
        value = document if isinstance(document, dict | list) else value
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _short(value: Any) -> str:
    text = "–" if value is NOTHING else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"
