"""Changes on their way to the durable file: for each key only the last one."""

from __future__ import annotations

from fleetward.gateway.messages import message_size, message_weight
from fleetward.gateway.saved import SavedMessage, SavedSession

ENTRY_BYTES = 256
"""What an entry without a message costs, about."""


def message_bytes(message: SavedMessage | None) -> int:
    if message is None:
        return ENTRY_BYTES
    return message_weight(message_size(message.topic, message.payload, message.properties), message.properties)


class Changes:
    """One transaction's worth. None stands for a removal.

    `forgotten` sessions go first, with their messages. `bytes` is about what the messages here take in memory.
    """

    __slots__ = ("bytes", "forgotten", "messages", "retained", "sessions")

    def __init__(self) -> None:
        self.forgotten: set[str] = set()
        self.sessions: dict[str, SavedSession] = {}
        self.messages: dict[str, dict[int, SavedMessage | None]] = {}
        self.retained: dict[str, SavedMessage | None] = {}
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self.messages or self.sessions or self.retained or self.forgotten)

    def forget_session(self, client_id: str) -> None:
        self.sessions.pop(client_id, None)
        for message in self.messages.pop(client_id, {}).values():
            self.bytes -= message_bytes(message)
        self.forgotten.add(client_id)

    def set_message(self, client_id: str, order: int, message: SavedMessage | None) -> None:
        messages = self.messages.get(client_id)
        if messages is None:
            messages = self.messages[client_id] = {}
        elif order in messages:
            self.bytes -= message_bytes(messages[order])
        messages[order] = message
        self.bytes += message_bytes(message)

    def drop_message(self, client_id: str, order: int) -> None:
        """As if the message had never been here."""
        messages = self.messages.get(client_id)
        if messages is None or order not in messages:
            return
        self.bytes -= message_bytes(messages.pop(order))
        if not messages:
            del self.messages[client_id]

    def set_retained(self, topic: str, message: SavedMessage | None) -> None:
        if topic in self.retained:
            self.bytes -= message_bytes(self.retained[topic])
        self.retained[topic] = message
        self.bytes += message_bytes(message)
