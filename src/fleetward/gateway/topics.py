"""Topic names and topic filters (MQTT §4.7): which are valid, what matches, and the index of all subscriptions.

The standard wins over AWS: `sport/#` matches `sport`, and filters that begin with a wildcard never match topics that
begin with `$` [MQTT-4.7.2-1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Route = TypeVar("Route", bound=tuple[Any, ...])

WILDCARDS = frozenset("+#")
REMEMBERED_ENTRIES = 500_000
REMEMBERED_TOPIC_LENGTH = 512


def is_topic_name(topic: str) -> bool:
    """Whether a message may be published to `topic` [MQTT-4.7.1-1], [MQTT-4.7.3-1..2]."""
    return bool(topic) and "+" not in topic and "#" not in topic and "\0" not in topic


def is_topic_filter(text: str) -> bool:
    """Whether wildcards stand alone in their level, and `#` only at the end [MQTT-4.7.1-2..3]."""
    if not text or "\0" in text:
        return False
    levels = text.split("/")
    if "#" in levels[:-1]:
        return False
    return all(len(level) == 1 or WILDCARDS.isdisjoint(level) for level in levels)


def levels_of(text: str) -> int:
    """How many levels a topic or filter has."""
    return text.count("/") + 1


def has_wildcards(text: str) -> bool:
    return "+" in text or "#" in text


def matches(text: str, topic: str) -> bool:
    """Whether the filter `text` matches the name `topic`; both must be valid."""
    if topic.startswith("$") and text[0] in WILDCARDS:
        return False
    levels = topic.split("/")
    pattern = text.split("/")
    for i, wanted in enumerate(pattern):
        if wanted == "#":
            return True
        if i == len(levels) or wanted not in ("+", levels[i]):
            return False
    return len(levels) == len(pattern)


class _Node(Generic[Key, Value]):
    __slots__ = ("children", "entries")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Key, Value]] = {}
        self.entries: dict[Key, Value] = {}


class SubscriptionTree(Generic[Key, Value, Route]):
    """Who subscribed to what. `merge` makes a route of the (key, value) pairs that match a topic.

    Routes are remembered as long as there are at most `remembered` of them and of their entries, so that publishing to
    ever new topics cannot make us grow.
    """

    def __init__(
        self, merge: Callable[[Iterable[tuple[Key, Value]]], Route], remembered: int = REMEMBERED_ENTRIES
    ) -> None:
        self._merge = merge
        self._remembered = remembered
        self._root: _Node[Key, Value] = _Node()
        self._routes: dict[str, Route] = {}
        self._entries = 0

    def add(self, text: str, key: Key, value: Value) -> None:
        """Adds or replaces the entry of `key` at the filter `text`."""
        node = self._root
        for level in text.split("/"):
            node = node.children.setdefault(level, _Node())
        node.entries[key] = value
        self._forget_routes(text)

    def remove(self, text: str, key: Key) -> None:
        """Removes the entry of `key` at `text`, if there is one, and the branch when nothing is left on it."""
        path = [self._root]
        levels = text.split("/")
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                return
            path.append(child)
        path[-1].entries.pop(key, None)
        for i in range(len(levels), 0, -1):
            if path[i].entries or path[i].children:
                break
            del path[i - 1].children[levels[i - 1]]
        self._forget_routes(text)

    def route(self, topic: str) -> Route:
        """What `merge` makes of every entry whose filter matches `topic`."""
        route = self._routes.get(topic)
        if route is None:
            route = self._merge(self._find(topic))
            if len(topic) <= REMEMBERED_TOPIC_LENGTH:
                self._remember(topic, route)
        return route

    def _remember(self, topic: str, route: Route) -> None:
        self._routes[topic] = route
        self._entries += 1 + len(route)
        while self._entries > self._remembered:
            self._forget(next(iter(self._routes)))

    def _forget(self, topic: str) -> None:
        route = self._routes.pop(topic, None)
        if route is not None:
            self._entries -= 1 + len(route)

    def _forget_routes(self, text: str) -> None:
        if has_wildcards(text):
            self._routes.clear()
            self._entries = 0
        else:
            self._forget(text)

    def _find(self, topic: str) -> list[tuple[Key, Value]]:
        found: list[tuple[Key, Value]] = []
        frontier = [self._root]
        hidden = topic.startswith("$")
        for level in topic.split("/"):
            following = []
            for node in frontier:
                children = node.children
                if not hidden:
                    if "#" in children:
                        found += children["#"].entries.items()
                    if "+" in children:
                        following.append(children["+"])
                if level in children:
                    following.append(children[level])
            frontier = following
            hidden = False
        for node in frontier:
            found += node.entries.items()
            if "#" in node.children:
                found += node.children["#"].entries.items()
        return found
