"""Getting messages to a session: receive window, the queue behind it, acknowledgements, resending (§4.3, §4.4)."""

from __future__ import annotations

from fleetward.gateway.durable import Durable
from fleetward.gateway.limits import Limits
from fleetward.gateway.messages import Message
from fleetward.gateway.packets import V5, Puback, Pubcomp, Pubrec, Pubrel, Reason
from fleetward.gateway.sessions import Outgoing, Peer, Session
from fleetward.gateway.shares import Shares
from fleetward.model import Millis

SHARE = 64
"""Waiting messages that one session is sent before the others get their turn."""


class Delivery:
    """The outbound half of all sessions. Holds nothing of its own but the sums of what waits."""

    def __init__(self, limits: Limits, durable: Durable) -> None:
        self._limits = limits
        self._durable = durable
        self._held = Shares()

    # --- a message comes ----------------------------------------------------------------------------------------------

    def offer(
        self, session: Session, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...], now: Millis
    ) -> bool:
        """Sends the message to the session or queues it for it; False when it is refused, dropped or expired."""
        peer = session.peer
        if qos == 0:
            if peer is None or peer.congested or message.has_expired(now):
                return False
            return self._send_once(session, peer, message, retain, identifiers, now)
        outgoing = Outgoing(message, qos, retain, identifiers)
        if session.discarded or not self._hold(session, outgoing):
            return False
        if peer is None or not self._is_idle(session, peer):
            self._enqueue(session, outgoing)
            return True
        return self._send(session, peer, outgoing, now)

    def pump(self, session: Session, now: Millis) -> None:
        """Sends what waits, as far as the window, the write buffer and a fair share of the loop allow."""
        peer = session.peer
        if peer is None:
            return
        budget = SHARE
        while budget and session.queue and session.peer is peer and not peer.congested and self._has_window(session):
            budget -= 1
            self._send(session, peer, session.queue.popleft(), now)
        while budget and session.replays and session.peer is peer and self._is_idle(session, peer):
            budget -= 1
            self._replay(session, now)
        if not budget and session.peer is peer:
            peer.wake()

    def resume(self, session: Session) -> None:
        """Puts what was in flight before the queue again, to be resent in order [MQTT-4.4.0-1]."""
        session.queue.extendleft(reversed(session.inflight.values()))
        session.inflight.clear()

    def forget_all(self, session: Session) -> None:
        """The session ends: what it held is given up."""
        self._count(session, -session.held_bytes)
        session.queue.clear()
        session.inflight.clear()
        session.replays.clear()

    def restore(self, session: Session, outgoing: Outgoing) -> None:
        """Takes back what the durable file held, in order."""
        session.queue.append(outgoing)
        self._count(session, outgoing.message.weight)

    # --- acknowledgements: they make room in the window, and `pump` must follow ---------------------------------------

    def puback(self, session: Session, packet: Puback) -> None:
        outgoing = session.inflight.get(packet.packet_id)
        if outgoing is not None and outgoing.qos == 1:
            self._finish(session, outgoing)

    def pubrec(self, session: Session, packet: Pubrec) -> None:
        outgoing = session.inflight.get(packet.packet_id)
        if outgoing is None or outgoing.qos != 2:
            self._release(session, packet.packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND)
        elif packet.reason >= Reason.UNSPECIFIED_ERROR:
            self._finish(session, outgoing)
        else:
            outgoing.released = True
            if session.persistent:
                self._save(session, outgoing)
            self._release(session, packet.packet_id)

    def pubcomp(self, session: Session, packet: Pubcomp) -> None:
        outgoing = session.inflight.get(packet.packet_id)
        if outgoing is not None and outgoing.released:
            self._finish(session, outgoing)

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _send_once(
        self, session: Session, peer: Peer, message: Message, retain: bool, identifiers: tuple[int, ...], now: Millis
    ) -> bool:
        """At most once (§4.3.1)."""
        frame = message.frame(session.version, 0, retain, identifiers, now)
        if not self._fits(session, frame.size) or not peer.admit(message, now):
            return False
        peer.write(frame.whole)
        return True

    def _send(self, session: Session, peer: Peer, outgoing: Outgoing, now: Millis) -> bool:
        """At least or exactly once (§4.3.2, §4.3.3); a packet id from before makes it a duplicate [MQTT-3.3.1-1]."""
        if outgoing.released:
            session.inflight[outgoing.packet_id] = outgoing
            self._release(session, outgoing.packet_id)
            return True
        message, resent = outgoing.message, outgoing.packet_id != 0
        frame = message.frame(session.version, outgoing.qos, outgoing.retain, outgoing.identifiers, now)
        # A client drops what is larger than it said it takes as if it had been delivered [MQTT-3.1.2-25].
        wanted = (resent or not message.has_expired(now)) and self._fits(session, frame.size)
        passes = wanted and peer.admit(message, now)
        if session.peer is not peer:  # deciding it cut the connection off
            session.queue.appendleft(outgoing)
            return False
        if not passes:
            return self._give_up(session, peer, outgoing, now)
        outgoing.packet_id = outgoing.packet_id or session.allocate_packet_id()
        session.inflight[outgoing.packet_id] = outgoing
        if session.persistent:
            self._save(session, outgoing)
        peer.write(frame.bytes(outgoing.packet_id, duplicate=resent))
        return True

    def _give_up(self, session: Session, peer: Peer, outgoing: Outgoing, now: Millis) -> bool:
        """A QoS 2 message that went out before is completed, else the client takes the id's next message for it."""
        if outgoing.qos == 2 and outgoing.packet_id:
            outgoing.released = True
            return self._send(session, peer, outgoing, now)
        self._finish(session, outgoing)
        return False

    def _replay(self, session: Session, now: Millis) -> None:
        text, replay = next(iter(session.replays.items()))
        try:
            message = next(replay.messages)
        except StopIteration:
            session.replays.pop(text, None)
            return
        if message is not None and not message.has_expired(now):
            subscription, identifier = replay.grant.subscription, replay.grant.identifier
            identifiers = (identifier,) if identifier else ()
            self.offer(session, message.bare(), min(subscription.qos, message.qos), True, identifiers, now)

    def _release(self, session: Session, packet_id: int, reason: int = Reason.SUCCESS) -> None:
        if session.peer is not None:
            session.peer.send(Pubrel(packet_id, reason if session.version == V5 else 0))

    def _is_idle(self, session: Session, peer: Peer) -> bool:
        """Whether a message would be sent at once: retained messages wait where they are, not in the queue."""
        return not session.queue and not peer.congested and self._has_window(session)

    def _has_window(self, session: Session) -> bool:
        return len(session.inflight) < session.window

    def _fits(self, session: Session, size: int) -> bool:
        return session.maximum_packet is None or size <= session.maximum_packet

    def _hold(self, session: Session, outgoing: Outgoing) -> bool:
        """Makes the message one of the session's, when there is room: later messages are dropped, not earlier ones."""
        size, limits, held = outgoing.message.weight, self._limits, self._held
        if (
            len(session.queue) >= limits.queued_messages
            or session.held_bytes + size > limits.queued_bytes
            or held.of(session.owner) + size > limits.queued_bytes_per_certificate
            or held.total + size > limits.queued_bytes_total
        ):
            return False
        session.last_order = outgoing.order = session.last_order + 1
        self._count(session, size)
        return True

    def _count(self, session: Session, size: int) -> None:
        session.held_bytes += size
        self._held.add(session.owner, size)

    def _enqueue(self, session: Session, outgoing: Outgoing) -> None:
        session.queue.append(outgoing)
        if session.persistent:
            self._save(session, outgoing)

    def _finish(self, session: Session, outgoing: Outgoing) -> None:
        session.inflight.pop(outgoing.packet_id, None)
        self._count(session, -outgoing.message.weight)
        if session.persistent:
            self._durable.forget_message(session.client_id, outgoing.order)

    def _save(self, session: Session, outgoing: Outgoing) -> None:
        self._durable.save_message(session.client_id, outgoing.order, outgoing.saved())
