"""One connection: bytes in, packets to their handlers, messages out, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from fleetward.gateway import endings
from fleetward.gateway.access import PUBLISH, RECEIVE, RETAIN_PUBLISH
from fleetward.gateway.codec import ProtocolViolation, Reader, UnsupportedProtocolVersion, encode
from fleetward.gateway.endings import Ending
from fleetward.gateway.handlers import HANDLERS
from fleetward.gateway.identity import Principal
from fleetward.gateway.messages import Message
from fleetward.gateway.packets import V5, V311, Connack, Connect, Disconnect, Packet
from fleetward.gateway.sessions import Session
from fleetward.model import Millis

if TYPE_CHECKING:
    from fleetward.gateway.guard import Guard

SHARE = 128
"""What is done for one client, in packets of usual work, before the others get their turn."""


class Link(Protocol):
    """The way bytes travel. `congested` says that more waits to be written than should."""

    congested: bool

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Writes what waits, then closes."""

    def wake(self) -> None:
        """Asks for `Client.work` on the next turn of the loop, once however often it is asked."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Client:
    """The connection of one client, from the end of its TLS handshake; the broker's `Peer`.

    `session` is there from the CONNECT that was admitted until `ended`; `number` is that of the presence events.
    """

    __slots__ = (
        "_congested_since",
        "_is_idle",
        "_link",
        "_opened_at",
        "_packet_at",
        "_partial_since",
        "_paused",
        "_reader",
        "access",
        "certificate_id",
        "connect",
        "device",
        "ended",
        "guard",
        "has_assigned_id",
        "keep_alive_millis",
        "number",
        "principal",
        "rate",
        "session",
        "stale",
        "version",
        "write",
    )

    def __init__(self, guard: Guard, link: Link, principal: Principal, now: Millis) -> None:
        self.guard = guard
        self.principal = principal
        self.certificate_id = principal.certificate_id
        self.connect = Connect("")
        self.version = V311
        self.number = 0
        self.keep_alive_millis = 0
        self.has_assigned_id = False
        self.access = guard.access_of(principal, "")
        self.device = guard.attribution.device(principal.certificate_id, "", assigned=True)
        self.rate = Rate()
        self.session: Session | None = None
        self.stale = False
        self.ended = False
        self.write = link.write
        self._link = link
        self._reader = Reader(guard.limits.connect_packet)
        self._paused = False
        self._is_idle = False
        self._opened_at = now
        self._packet_at = now
        self._partial_since: Millis | None = None
        self._congested_since: Millis | None = None

    @property
    def client_id(self) -> str:
        return self.connect.client_id

    # --- what comes in ------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: Millis) -> None:
        """Takes bytes off the wire."""
        if not self.ended:
            self._reader.feed(data)
            self.work(now)

    def work(self, now: Millis) -> None:
        """Goes on with what has been received and what is to be sent."""
        if self.ended:
            return
        try:
            self._read(now)
            session = self.session
            if session is not None and (session.queue or session.replays):
                self.guard.broker.pump(session, now)
        except UnsupportedProtocolVersion as violation:
            self.version = violation.version
            self.send(Connack(False, violation.reason))
            self.end(endings.violation(violation.reason), now)
        except ProtocolViolation as violation:
            self.end(endings.violation(violation.reason), now)
        self.guard.broker.settle(now)

    def lost(self, now: Millis) -> None:
        """The connection broke."""
        self.end(endings.LOST, now)
        self.guard.broker.settle(now)

    def congestion(self, now: Millis) -> None:
        """The link's buffer is full; `work` after it has drained."""
        self._congested_since = now
        self.guard.watch(self)

    def _read(self, now: Millis) -> None:
        handled = 0
        for packet in self._reader.packets():
            self._packet_at = now
            self._is_idle = self._is_idle and type(packet) is Disconnect
            if self.stale:
                self.guard.decide_anew(self, now)
            if not self.ended:
                handled += HANDLERS[type(packet)](self, packet, now) or 1
            if self.ended:
                return
            if handled >= SHARE or self._link.congested:
                self._pause()
                return
        if self._reader.is_partial or self._partial_since is not None:
            self._note_partial(handled, now)
        if self._paused:
            self._paused = False
            self._link.resume_reading()

    def _pause(self) -> None:
        """Takes nothing more from a client before its turn comes again, or before it reads what it was sent."""
        if not self._paused:
            self._paused = True
            self._link.pause_reading()
        if not self._link.congested:
            self._link.wake()

    def _note_partial(self, handled: int, now: Millis) -> None:
        if not self._reader.is_partial:
            self._partial_since = None
        elif handled or self._partial_since is None:
            self._partial_since = now
            self.guard.watch(self)

    # --- what goes out: the broker's Peer -----------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        return self._link.congested

    def admit(self, message: Message, now: Millis) -> bool:
        if self.stale:
            self.guard.decide_anew(self, now)
        if self.ended:
            return False
        if not self.access.may(RECEIVE, message.topic, now):
            self.device.denied(message.topic)
            return False
        self.device.received(message.topic, message.size)
        return True

    def admit_will(self, message: Message, now: Millis) -> bool:
        """Asked when the connection is gone: by the policies of that moment, so that no will outlives an isolation."""
        self.refresh()
        access, topic = self.access, message.topic
        allowed = self.guard.still_admits(self, now) and access.may(PUBLISH, topic, now)
        if allowed and message.retain:
            allowed = access.may(RETAIN_PUBLISH, topic, now)
        access.release()
        if allowed:
            self.device.published(topic, message.size)
        else:
            self.device.denied(topic)
            self.guard.tell_watches(self, PUBLISH, topic, "its sender may not be connected any more", now)
        return allowed

    def send(self, packet: Packet) -> None:
        self.write(encode(packet, self.version))

    def wake(self) -> None:
        self._link.wake()

    def taken_over(self, now: Millis) -> None:
        self.end(endings.TAKEN_OVER, now)

    # --- its life -----------------------------------------------------------------------------------------------------

    def begin(self, session: Session, keep_alive: int) -> None:
        """The CONNECT was admitted; `keep_alive` in seconds, 0 for none."""
        self.session = session
        self.keep_alive_millis = keep_alive * 1500  # [MQTT-3.1.2-22]
        self._reader.max_packet_size = self.guard.limits.packet
        self._is_idle = True
        self.device.connected(self.principal.address)
        self.guard.watch(self)

    def refresh(self) -> None:
        """Takes the identity and the policies that the fleet's registry gives it now."""
        self.stale = False
        self.access.release()
        self.access = self.guard.access_of(self.principal, self.client_id)
        device = self.guard.attribution.device(self.certificate_id, self.client_id, self.has_assigned_id)
        if self.session is not None and device is not self.device:
            self.device.disconnected()
            device.connected(self.principal.address)
        self.device = device

    def end(self, ending: Ending, now: Millis) -> None:
        """Ends the connection at once; what the network does afterwards is of no interest. `settle` must follow."""
        if self.ended:
            return
        self.ended = True
        session, self.session = self.session, None
        if session is not None:
            if self.version == V5 and ending.code is not None:
                self.send(Disconnect(ending.code))
            self.device.disconnected()
            if self._is_idle:
                self.device.idled()
            self.guard.leave(self, ending.presence, now)
            self.guard.broker.detach(session, ending.with_will, now)
        self.guard.forget_deadline(self)
        self.access.release()
        self._link.close()

    def next_deadline(self) -> Millis | None:
        """When the client will be overdue with something, as far as one can say now."""
        return min((due for due, _ in self._deadlines()), default=None)

    def look_at_deadlines(self, now: Millis) -> None:
        for due, ending in self._deadlines():
            if due <= now:
                self.end(ending, now)
                return
        self.guard.watch(self)

    def _deadlines(self) -> Iterator[tuple[Millis, Ending]]:
        limits = self.guard.limits
        if self.session is None:
            yield self._opened_at + limits.connect_seconds * 1000, endings.LOST
        elif self.keep_alive_millis:
            yield self._packet_at + self.keep_alive_millis, endings.SILENT
        if self._partial_since is not None:
            yield self._partial_since + limits.packet_seconds * 1000, endings.LOST
        if self._congested_since is not None and self._link.congested:
            yield self._congested_since + limits.stalled_seconds * 1000, endings.STALLED


class Rate:
    """Publishes and their bytes in the current second."""

    __slots__ = ("bytes", "publishes", "second")

    def __init__(self) -> None:
        self.second = self.publishes = self.bytes = 0

    def count(self, size: int, now: Millis) -> None:
        if now // 1000 != self.second:
            self.second, self.publishes, self.bytes = now // 1000, 0, 0
        self.publishes += 1
        self.bytes += size
