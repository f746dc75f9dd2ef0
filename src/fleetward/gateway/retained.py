"""Retained messages (MQTT §3.3.1.3): one for each topic, found by filter, bounded in number and bytes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from fleetward.gateway.messages import Message
from fleetward.gateway.topics import levels_of
from fleetward.model import Millis

NODE_BYTES = 256
"""What a level of a topic costs in memory, about."""


class _Node:
    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.message: Message | None = None


class RetainedMessages:
    """The retained messages as a tree of topic levels."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._bytes = 0
        self._by_topic: dict[str, Message] = {}
        self._topics: list[str] = []  # sorted
        self._root = _Node()

    def __len__(self) -> int:
        return len(self._by_topic)

    def peek(self, topic: str) -> Message | None:
        """The message of `topic`, expired or not."""
        return self._by_topic.get(topic)

    def get(self, topic: str, now: Millis) -> Message | None:
        message = self._by_topic.get(topic)
        return None if message is None or message.has_expired(now) else message

    def after(self, topic: str, limit: int, now: Millis) -> list[Message]:
        """At most `limit` messages in the order of their topics, from the first one after `topic`."""
        found: list[Message] = []
        for index in range(bisect_right(self._topics, topic), len(self._topics)):
            if len(found) == limit:
                break
            if (message := self.get(self._topics[index], now)) is not None:
                found.append(message)
        return found

    def put(self, message: Message) -> bool:
        """Keeps `message` for its topic; False when there is no room, and then nothing changed."""
        before = self._by_topic.get(message.topic)
        size = self._bytes + _weight(message) - (_weight(before) if before else 0)
        if size > self._max_bytes or (before is None and len(self._by_topic) >= self._max_messages):
            return False
        if before is None:
            insort(self._topics, message.topic)
        node = self._root
        for level in message.topic.split("/"):
            node = node.children.setdefault(level, _Node())
        node.message = self._by_topic[message.topic] = message.bare()
        self._bytes = size
        return True

    def remove(self, topic: str) -> bool:
        """Forgets the message of `topic`; whether there was one."""
        message = self._by_topic.pop(topic, None)
        if message is None:
            return False
        del self._topics[bisect_left(self._topics, topic)]
        self._bytes -= _weight(message)
        levels = topic.split("/")
        path = [self._root]
        for level in levels:
            path.append(path[-1].children[level])
        path[-1].message = None
        for i in range(len(levels), 0, -1):
            if path[i].message is not None or path[i].children:
                break
            del path[i - 1].children[levels[i - 1]]
        return True

    def find(self, text: str) -> Iterator[Message | None]:
        """The messages that the filter `text` matches, with a None for every other node looked at.

        It is lazy and survives changes to the tree, so that a subscription to everything can be served a bit at a time.
        """
        levels = text.split("/")
        waiting: list[tuple[Iterator[_Node], int]] = [(iter((self._root,)), 0)]
        while waiting:
            nodes, depth = waiting[-1]
            node = next(nodes, None)
            if node is None:
                waiting.pop()
                continue
            wanted = levels[depth] if depth < len(levels) else None
            yield node.message if wanted is None or wanted == "#" else None
            if wanted in ("+", "#"):
                waiting.append((self._below(node), depth if wanted == "#" else depth + 1))
            elif wanted is not None and wanted in node.children:
                waiting.append((iter((node.children[wanted],)), depth + 1))

    def _below(self, node: _Node) -> Iterator[_Node]:
        """The nodes under `node` at this moment, one by one: there may be very many.

        Wildcards in the first level do not match names that begin with `$` [MQTT-4.7.2-1].
        """
        hides = node is self._root
        children = zip(list(node.children), list(node.children.values()), strict=True)
        return (child for name, child in children if not (hides and name.startswith("$")))


def _weight(message: Message) -> int:
    """A message may need a node of its own for every level of its topic."""
    return message.weight + NODE_BYTES * levels_of(message.topic)
