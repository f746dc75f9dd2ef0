"""Watches: the house looks on at what passes, and at what is refused, without being one of the clients.

What is seen waits here, within bounds, until it is read; a watch that nobody reads ends by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from fleetward.gateway.doors import Denial, Seen, Sighting, Watch
from fleetward.gateway.messages import Message
from fleetward.gateway.topics import SubscriptionTree
from fleetward.model import Millis

MOST = 16
MOST_OF_OWNER = 4
"""Watches at a time, of all and of each owner; one more of an owner ends the oldest."""

PER_SECOND = 100
WAITING = 300
WAITING_BYTES = 1024 * 1024
PAYLOAD_BYTES = 16 * 1024
"""What one watch may see in a second, what may wait to be read, and how much of a payload is kept."""

REMEMBERED = 10_000
"""Topics of which is remembered whom they concern."""

DENIALS = 50
UNREAD_MILLIS = 30_000


class Watches:
    """All watches of one gateway. `open` is empty when nobody watches: that is all the packet path needs to look at."""

    def __init__(self) -> None:
        self.open: dict[str, OpenWatch] = {}
        self._concerned: SubscriptionTree[str, OpenWatch, tuple[OpenWatch, ...]] = SubscriptionTree(
            _each_once, REMEMBERED
        )

    def begin(self, watch: Watch, now: Millis) -> bool:
        """Whether there was room for it."""
        own = [identity for identity, other in self.open.items() if other.watch.owner == watch.owner]
        if len(own) >= MOST_OF_OWNER:
            self._end(own[0])
        if len(self.open) >= MOST:
            return False
        self.open[watch.id] = opened = OpenWatch(watch, now)
        for text in watch.filters:
            self._concerned.add(text, watch.id, opened)
        return True

    def find(self, identity: str, owner: str) -> OpenWatch | None:
        found = self.open.get(identity)
        return found if found is not None and found.watch.owner == owner else None

    def end(self, identity: str, owner: str) -> bool:
        """Whether its owner had such a watch."""
        known = self.find(identity, owner) is not None
        if known:
            self._end(identity)
        return known

    def expire(self, now: Millis) -> None:
        """Ends those that nobody reads any more."""
        for identity in [key for key, watch in self.open.items() if now - watch.read_at > UNREAD_MILLIS]:
            self._end(identity)

    def _end(self, identity: str) -> None:
        for text in self.open.pop(identity).watch.filters:
            self._concerned.remove(text, identity)

    def saw(self, message: Message, now: Millis) -> None:
        for watch in self._concerned.route(message.topic):
            watch.saw(message, now)

    def denied(self, device: str, action: str, topic: str, why: str, now: Millis) -> None:
        """`topic` is empty for what is about the connection: that tells of every device, for it may have been one."""
        for watch in self._concerned.route(topic) if topic else self.open.values():
            watch.denied(Denial(device, action, topic, why, 1, now))


def _each_once(found: Iterable[tuple[str, OpenWatch]]) -> tuple[OpenWatch, ...]:
    return tuple(dict(found).values())


class OpenWatch:
    """One watch and what waits for its reader."""

    def __init__(self, watch: Watch, now: Millis) -> None:
        self.watch = watch
        self.read_at = now
        self._second = self._in_second = 0
        self._waiting: deque[Sighting] = deque()
        self._bytes = 0
        self._missed = 0
        self._denials: dict[tuple[str, str, str], Denial] = {}

    def saw(self, message: Message, now: Millis) -> None:
        if not self._has_room(now):
            self._missed += 1
            return
        payload = message.payload[:PAYLOAD_BYTES]
        self._bytes += len(payload)
        self._waiting.append(
            Sighting(
                message.topic,
                payload,
                len(message.payload),
                message.qos,
                message.retain,
                message.sender or "",
                now,
            )
        )

    def _has_room(self, now: Millis) -> bool:
        if now // 1000 != self._second:
            self._second, self._in_second = now // 1000, 0
        self._in_second += 1
        return self._in_second <= PER_SECOND and len(self._waiting) < WAITING and self._bytes < WAITING_BYTES

    def denied(self, denial: Denial) -> None:
        """Counts it with its like; beyond DENIALS kinds, as one of many."""
        key = (denial.device, denial.action, denial.why)
        if key not in self._denials and len(self._denials) >= DENIALS:
            denial = replace(denial, device="", topic="", why="")
            key = ("", denial.action, "")
        known = self._denials.get(key)
        self._denials[key] = denial if known is None else replace(denial, count=known.count + 1)

    def read(self, now: Millis) -> Seen:
        """What was seen since it was read last; denials and what was missed are counted from the beginning."""
        self.read_at = now
        messages = tuple(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return Seen(self.watch.filters, messages, tuple(self._denials.values()), self._missed)
