"""Retained messages (MQTT §3.3.1.3): one for each topic, found by filter, bounded in number and bytes."""

from __future__ import annotations

from collections.abc import Iterator

from fleetward.gateway.messages import Message
from fleetward.model import Millis


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
        self._root = _Node()

    def __len__(self) -> int:
        return len(self._by_topic)

    def peek(self, topic: str) -> Message | None:
        """The message of `topic`, expired or not."""
        return self._by_topic.get(topic)

    def get(self, topic: str, now: Millis) -> Message | None:
        message = self._by_topic.get(topic)
        return None if message is None or message.has_expired(now) else message

    def put(self, message: Message) -> bool:
        """Keeps `message` for its topic; False when there is no room, and then nothing changed."""
        before = self._by_topic.get(message.topic)
        size = self._bytes + message.size - (before.size if before else 0)
        if size > self._max_bytes or (before is None and len(self._by_topic) >= self._max_messages):
            return False
        node = self._root
        for level in message.topic.split("/"):
            node = node.children.setdefault(level, _Node())
        node.message = self._by_topic[message.topic] = message
        self._bytes = size
        return True

    def remove(self, topic: str) -> bool:
        """Forgets the message of `topic`; whether there was one."""
        message = self._by_topic.pop(topic, None)
        if message is None:
            return False
        self._bytes -= message.size
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
        waiting = [(self._root, 0)]
        while waiting:
            node, depth = waiting.pop()
            wanted = levels[depth] if depth < len(levels) else None
            yield node.message if wanted is None or wanted == "#" else None
            if wanted in ("+", "#"):
                following = depth if wanted == "#" else depth + 1
                waiting += [(child, following) for name, child in node.children.items() if not self._hides(node, name)]
            elif wanted is not None and wanted in node.children:
                waiting.append((node.children[wanted], depth + 1))

    def _hides(self, node: _Node, name: str) -> bool:
        """Wildcards in the first level do not match names that begin with `$` [MQTT-4.7.2-1]."""
        return node is self._root and name.startswith("$")
