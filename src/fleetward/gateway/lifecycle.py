"""The life of sessions (§4.1): begun or resumed by a connection, kept while it is away, ended by time or choice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from fleetward.gateway.codec import ProtocolViolation
from fleetward.gateway.deadlines import Deadlines
from fleetward.gateway.delivery import Delivery
from fleetward.gateway.durable import Durable
from fleetward.gateway.limits import Limits
from fleetward.gateway.messages import Message, number_of
from fleetward.gateway.packets import V5, Connect, Reason
from fleetward.gateway.routing import Targets
from fleetward.gateway.saved import SavedMessage, SavedSession
from fleetward.gateway.sessions import MAX_PACKET_ID, Grant, Outgoing, Peer, Session, Testament
from fleetward.gateway.shares import Shares
from fleetward.gateway.topics import SubscriptionTree, levels_of
from fleetward.model import Millis


class Sessions:
    """All sessions of one gateway by client id.

    `due_wills` are those to be published now; `unsaved` are sessions that `save_changed` will save.
    """

    def __init__(
        self,
        limits: Limits,
        durable: Durable,
        delivery: Delivery,
        subscriptions: SubscriptionTree[Session, Grant, Targets],
        subscribed_levels: Shares,
    ) -> None:
        self.due_wills: deque[Testament] = deque()
        self._limits = limits
        self._durable = durable
        self._delivery = delivery
        self._subscriptions = subscriptions
        self._subscribed_levels = subscribed_levels
        self._by_client_id: dict[str, Session] = {}
        self._expiries: Deadlines[Session] = Deadlines()
        self._delayed_wills: Deadlines[Session] = Deadlines()
        self._offline: dict[str, dict[Session, None]] = {}
        self.unsaved: dict[Session, None] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_client_id.values())

    def get(self, client_id: str) -> Session | None:
        return self._by_client_id.get(client_id)

    def connect(self, peer: Peer, connect: Connect, owner: str, now: Millis) -> tuple[Session, bool]:
        """Gives the peer its session and says whether it resumes one; an older connection ends [MQTT-3.1.4-3].

        A session belongs to the certificate `owner` that made it. Under another certificate, even one that policy lets
        use the client id, its queued messages would be read by somebody they were not sent to: that one starts anew.
        """
        session = self.get(connect.client_id)
        if session is not None and session.peer is not None:
            session.peer.taken_over(now)
            session = self.get(connect.client_id)
        if session is not None and (connect.clean_start or session.owner != owner):
            self.discard(session)
            session = None
        resumed = session is not None
        if session is None:
            session = self._by_client_id[connect.client_id] = Session(connect.client_id, owner, connect.version)
        self._attach(session, peer, connect, now)
        return session, resumed

    def _attach(self, session: Session, peer: Peer, connect: Connect, now: Millis) -> None:
        session.peer, session.version = peer, connect.version
        session.connected_at, session.disconnected_at = now, None
        session.lasts(self._expiry(connect))
        receive_maximum = number_of(connect.properties, "receive_maximum", MAX_PACKET_ID)
        session.window = min(receive_maximum, self._limits.inflight)
        session.maximum_packet = number_of(connect.properties, "maximum_packet_size", 0) or None
        session.testament = Testament(replace(connect.will), connect.client_id, peer) if connect.will else None
        self._stop_waiting(session)
        self._delivery.resume(session)
        self.save(session)

    def _expiry(self, connect: Connect) -> int:
        """Seconds; a 3.1.1 session with clean session 0 has no end of its own (§3.1.2.4), so ours applies."""
        if connect.version != V5:
            return 0 if connect.clean_start else self._limits.session_expiry
        return min(number_of(connect.properties, "session_expiry_interval", 0), self._limits.session_expiry)

    def expire_after(self, session: Session, seconds: int) -> None:
        """A DISCONNECT may change how long the session stays, but not make it last [MQTT-3.14.2-2]."""
        if seconds and not session.persistent:
            raise ProtocolViolation(Reason.PROTOCOL_ERROR, "a session that ends with its connection cannot be kept")
        session.lasts(min(seconds, self._limits.session_expiry))

    def detach(self, session: Session, with_will: bool, now: Millis) -> None:
        """The connection is gone; its will is published unless it said goodbye [MQTT-3.1.2-8], [MQTT-3.14.4-3]."""
        session.peer, session.disconnected_at = None, now
        testament = session.testament
        if not with_will:
            session.testament = None
        elif testament is not None and testament.delay_seconds and session.persistent:
            self._delayed_wills.set(session, now + testament.delay_seconds * 1000)
        else:
            self._fall_due(session)
        if session.persistent:
            self.save(session)
            self._wait(session, now)
        else:
            self.discard(session)

    def discard(self, session: Session) -> None:
        """The session ends, with everything in it; a will that was waiting falls due [MQTT-3.1.3-9]."""
        session.discarded = True
        self._fall_due(session)
        for text in session.grants:
            self._subscriptions.remove(text, session)
            self._subscribed_levels.add(session.owner, -levels_of(text))
        session.grants.clear()
        self._delivery.forget_all(session)
        self._stop_waiting(session)
        self.unsaved.pop(session, None)
        del self._by_client_id[session.client_id]
        if session.persistent:
            self._durable.forget_session(session.client_id)

    def save(self, session: Session) -> None:
        self.unsaved.pop(session, None)
        if session.persistent:
            self._durable.save_session(session.saved())

    def save_soon(self, session: Session) -> None:
        """Once for all the packets of a turn: a session is saved as a whole, and that takes long for a large one."""
        if session.persistent:
            self.unsaved[session] = None

    def save_changed(self) -> None:
        """Saves what was to be saved soon."""
        while self.unsaved:
            self.save(next(iter(self.unsaved)))

    # --- sessions whose clients are away ------------------------------------------------------------------------------

    def tick(self, now: Millis) -> None:
        """Ends sessions and lets delayed wills fall due whose time has come."""
        for session in self._delayed_wills.pop_due(now):
            self._fall_due(session)
        for session in self._expiries.pop_due(now):
            self.discard(session)

    def restore(self, saved: SavedSession, messages: tuple[tuple[int, SavedMessage], ...], now: Millis) -> Session:
        """Takes back a session of an earlier run, without its subscriptions; who was connected counts as gone now."""
        session = Session(saved.client_id, saved.certificate_id, saved.version)
        session.lasts(saved.expires_after_seconds)
        session.disconnected_at = saved.disconnected_at or now
        session.awaiting_release.update(saved.awaiting_release)
        for order, message in messages:
            self._delivery.restore(session, _outgoing(order, message))
            session.last_order = order
        self._by_client_id[session.client_id] = session
        self._wait(session, session.disconnected_at)
        return session

    def _wait(self, session: Session, since: Millis) -> None:
        """A certificate that leaves ever new sessions behind pushes out its own oldest, never another's."""
        if session.expiry_seconds is not None:
            self._expiries.set(session, since + session.expiry_seconds * 1000)
        absent = self._offline.setdefault(session.owner, {})
        absent[session] = None
        if len(absent) > self._limits.sessions_per_certificate:
            self.discard(next(iter(absent)))

    def _stop_waiting(self, session: Session) -> None:
        self._expiries.cancel(session)
        self._delayed_wills.cancel(session)
        absent = self._offline.get(session.owner)
        if absent is not None:
            absent.pop(session, None)
            if not absent:
                del self._offline[session.owner]

    def _fall_due(self, session: Session) -> None:
        if session.testament is not None:
            self.due_wills.append(session.testament)
            session.testament = None


def _outgoing(order: int, saved: SavedMessage) -> Outgoing:
    return Outgoing(Message.restored(saved), saved.qos, saved.retain, (), order, saved.packet_id, saved.released)
