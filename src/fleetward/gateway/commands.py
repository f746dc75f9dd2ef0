"""COMMANDS: what the house can ask of the gateway (door 4), and how it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fleetward.gateway.doors import (
    Command,
    CountSessions,
    Drop,
    GetRetained,
    ListRetained,
    Publish,
    ReadWatch,
    Reply,
    Retained,
    Seen,
    Unwatch,
    Watch,
)
from fleetward.gateway.guard import Guard
from fleetward.gateway.messages import received_message
from fleetward.gateway.packets import NO_PROPERTIES, V5
from fleetward.gateway.packets import Publish as PublishPacket
from fleetward.gateway.topics import is_topic_filter, is_topic_name
from fleetward.model import Millis


def carry_out(guard: Guard, command: Command, now: Millis) -> Reply:
    """The reply to `command`; raises ValueError for one that makes no sense."""
    return COMMANDS[type(command)](guard, command, now)


def drop(guard: Guard, command: Drop, now: Millis) -> bool:
    session = guard.broker.session(command.client_id)
    if session is not None and session.peer is not None and not command.with_will:
        session.testament = None
    return guard.drop(command.client_id, command.reason, command.forget, now)


def publish(guard: Guard, command: Publish, now: Millis) -> int:
    """No policy for the house; that of each receiver still counts."""
    if not is_topic_name(command.topic) or command.qos not in (0, 1, 2):
        raise ValueError(f"cannot publish to {command.topic!r} with QoS {command.qos}")
    properties = command.properties or NO_PROPERTIES
    packet = PublishPacket(command.topic, command.payload, command.qos, command.retain, properties=properties)
    message = received_message(packet, None, now)
    message.frame(V5, 0, False, (), now)  # raises ValueError for what cannot be said
    reached = guard.broker.deliver(message, now)
    guard.broker.settle(now)
    return reached


def get_retained(guard: Guard, command: GetRetained, now: Millis) -> Publish | None:
    message = guard.broker.retained(command.topic, now)
    if message is None:
        return None
    return Publish(message.topic, message.payload, message.qos, True, dict(message.properties) or None)


def list_retained(guard: Guard, command: ListRetained, now: Millis) -> tuple[Retained, ...]:
    messages = guard.broker.retained_after(command.after, command.limit, now)
    return tuple(Retained(message.topic, len(message.payload), message.qos) for message in messages)


def count_sessions(guard: Guard, command: CountSessions, now: Millis) -> int:
    return guard.online()


def watch(guard: Guard, command: Watch, now: Millis) -> bool:
    if not all(is_topic_filter(text) for text in command.filters):
        raise ValueError(f"cannot watch {command.filters!r}")
    return guard.broker.watches.begin(command, now)


def read_watch(guard: Guard, command: ReadWatch, now: Millis) -> Seen | None:
    found = guard.broker.watches.find(command.id, command.owner)
    return None if found is None else found.read(now)


def unwatch(guard: Guard, command: Unwatch, now: Millis) -> bool:
    return guard.broker.watches.end(command.id, command.owner)


COMMANDS: dict[type[Command], Callable[[Guard, Any, Millis], Reply]] = {
    Drop: drop,
    Publish: publish,
    GetRetained: get_retained,
    ListRetained: list_retained,
    CountSessions: count_sessions,
    Watch: watch,
    ReadWatch: read_watch,
    Unwatch: unwatch,
}
