"""fleetward: looking on at messages and at what is refused on their topics.

As for a device, `iot:Subscribe` is needed on the filters (access/actions.py) and `iot:Receive` on each message's topic.
"""

from __future__ import annotations

import secrets
from functools import cache
from typing import Any

from fleetward import errors
from fleetward.access.authorizer import Origin
from fleetward.access.requirements import Requirement
from fleetward.api.call import Call
from fleetward.gateway.doors import Denial, ReadWatch, Seen, Sighting, Unwatch, Watch
from fleetward.gateway.topics import is_topic_filter


async def watch_topics(call: Call) -> dict[str, Any]:
    filters = tuple(call.params["topicFilters"])
    for text in filters:
        if not is_topic_filter(text):
            raise errors.Validation(f"{text!r} is not a topic filter: + stands alone in a level, # only at the end")
    identity = secrets.token_urlsafe(16)
    if not await call.rooms.gateway.command(Watch(identity, _owner(call), filters)):
        raise errors.LimitExceeded("Too many topics are being watched; end another watch, or try again later.")
    return {"watchId": identity}


async def get_watched_messages(call: Call) -> dict[str, Any]:
    seen = await call.rooms.gateway.command(ReadWatch(call.params["watchId"], _owner(call)))
    if not isinstance(seen, Seen):
        raise _no_watch()
    for text in seen.filters:  # as it is now: a permission may have been taken away since the watch began
        _check(call, "iot:Subscribe", "topicfilter", text)

    @cache
    def receivable(topic: str) -> bool:
        try:
            _check(call, "iot:Receive", "topic", topic)
        except errors.AccessDenied:
            return False
        return True

    messages = [_shown(message) for message in seen.messages if receivable(message.topic)]
    return {
        "messages": messages,
        "missed": seen.missed,
        "withheld": len(seen.messages) - len(messages),
        "denials": [_denial(denial) for denial in seen.denials],
    }


async def unwatch_topics(call: Call) -> dict[str, Any]:
    if not await call.rooms.gateway.command(Unwatch(call.params["watchId"], _owner(call))):
        raise _no_watch()
    return {}


def _owner(call: Call) -> str:
    return call.caller.principal_arn or ""


def _no_watch() -> errors.ResourceNotFound:
    return errors.ResourceNotFound("You have no such watch; it may have ended because nobody read it.")


def _check(call: Call, action: str, kind: str, name: str) -> None:
    key = call.caller.key
    if key is None:
        raise errors.AccessDenied("Nobody may watch topics without a signature.")
    required = Requirement(action, call.rooms.arns.iot(kind, name))
    context = call.rooms.authorizer.context(key, Origin(call.now, call.peer, call.secure))
    call.rooms.authorizer.check(key, [required], context)


def _shown(message: Sighting) -> dict[str, Any]:
    return {
        "topic": message.topic,
        "payload": message.payload,
        "size": message.size,
        "qos": message.qos,
        "retain": message.retain,
        "clientId": message.sender or None,
        "time": message.time,
    }


def _denial(denial: Denial) -> dict[str, Any]:
    return {
        "device": denial.device or None,
        "action": denial.action,
        "topic": denial.topic or None,
        "reason": denial.why or None,
        "count": denial.count,
        "lastTime": denial.time,
    }
