"""The broker core, sans-IO: packets in, packets out, for clients that the guard let through.

It knows sessions, subscriptions, retained messages and wills; not who may do what, nor how bytes travel. What a packet
may not do by the standard raises ProtocolViolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fleetward.gateway.codec import ProtocolViolation
from fleetward.gateway.delivery import Delivery
from fleetward.gateway.durable import Durable
from fleetward.gateway.lifecycle import Sessions
from fleetward.gateway.limits import Limits
from fleetward.gateway.messages import Message, number_of
from fleetward.gateway.packets import (
    V5,
    Connect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Reason,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from fleetward.gateway.retained import RetainedMessages
from fleetward.gateway.routing import Targets, merge
from fleetward.gateway.saved import DurableState
from fleetward.gateway.sessions import MAX_PACKET_ID, Grant, Peer, Replay, Session
from fleetward.gateway.shares import Shares
from fleetward.gateway.topics import SubscriptionTree, has_wildcards, is_topic_filter, levels_of
from fleetward.gateway.watches import Watches
from fleetward.model import Millis

SHARED = "$share/"


class Broker:
    """All sessions of one gateway and everything that passes between them."""

    def __init__(self, limits: Limits, durable: Durable) -> None:
        self._limits = limits
        self._durable = durable
        self._delivery = Delivery(limits, durable)
        self._subscriptions: SubscriptionTree[Session, Grant, Targets] = SubscriptionTree(merge)
        self._subscribed_levels = Shares()
        self._sessions = Sessions(limits, durable, self._delivery, self._subscriptions, self._subscribed_levels)
        self.watches = Watches()
        self._retained = RetainedMessages(limits.retained_messages, limits.retained_bytes)

    # --- sessions -----------------------------------------------------------------------------------------------------

    def session(self, client_id: str) -> Session | None:
        return self._sessions.get(client_id)

    def connect(self, peer: Peer, connect: Connect, owner: str, now: Millis) -> tuple[Session, bool]:
        """Gives the peer its session and says whether it resumes one; `pump` must follow the CONNACK."""
        return self._sessions.connect(peer, connect, owner, now)

    def pump(self, session: Session, now: Millis) -> None:
        """Sends the session what waits for it."""
        self._delivery.pump(session, now)

    def expire_after(self, session: Session, seconds: int) -> None:
        self._sessions.expire_after(session, seconds)

    def detach(self, session: Session, with_will: bool, now: Millis) -> None:
        """The connection is gone; `settle` must follow."""
        self._sessions.detach(session, with_will, now)

    def discard(self, session: Session) -> None:
        """The session ends, with everything in it."""
        self._sessions.discard(session)

    def tick(self, now: Millis) -> None:
        """Ends sessions and publishes delayed wills whose time has come."""
        self._sessions.tick(now)
        self.settle(now)

    def settle(self, now: Millis) -> None:
        """Publishes the wills that fell due. One may cut off a receiver and so cause the next: hence a queue."""
        if self._sessions.unsaved:
            self._sessions.save_changed()
        wills = self._sessions.due_wills
        while wills:
            testament = wills.popleft()
            message = testament.message(now)
            if testament.peer.admit_will(message, now):
                self.deliver(message, now)

    def restore(self, state: DurableState, now: Millis) -> None:
        """Takes back the sessions, their messages and the retained messages of an earlier run."""
        for message in state.retained:
            if message.expires_at is None or message.expires_at > now:
                self._retained.put(Message.restored(message))
        for saved in state.sessions:
            if saved.expires_after_seconds != 0:
                session = self._sessions.restore(saved, state.messages.get(saved.client_id, ()), now)
                for subscription in saved.subscriptions:
                    self._grant(session, Grant(replace(subscription, retain_handling=2)))
                self._sessions.save(session)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, session: Session, packet: Publish, message: Message, now: Millis) -> int:
        """Takes a PUBLISH, passes the message in it on and acknowledges it (§4.3), a QoS 2 duplicate only the latter.

        Returns how many sessions it reached.
        """
        if packet.qos == 2 and packet.packet_id in session.awaiting_release:
            self._answer(session, Pubrec(packet.packet_id))
            return 0
        if packet.qos == 2 and len(session.awaiting_release) >= self._receive_maximum(session):
            raise ProtocolViolation(Reason.RECEIVE_MAXIMUM_EXCEEDED, "too many unfinished QoS 2 messages")
        if message.retain and not self._retain(message):
            self._refuse(session, packet, Reason.QUOTA_EXCEEDED)
            return 0
        reached = self._route(message, session, now)
        self.acknowledge(session, packet, Reason.SUCCESS if reached else Reason.NO_MATCHING_SUBSCRIBERS)
        return reached

    def acknowledge(self, session: Session, packet: Publish, reason: int) -> None:
        """PUBACK or PUBREC, as the QoS asks."""
        if packet.qos == 1:
            self._answer(session, Puback(packet.packet_id, reason))
        elif packet.qos == 2:
            if reason < Reason.UNSPECIFIED_ERROR:
                session.awaiting_release.add(packet.packet_id)
            else:
                session.awaiting_release.discard(packet.packet_id)
            self._sessions.save_soon(session)
            self._answer(session, Pubrec(packet.packet_id, reason))

    def release(self, session: Session, packet: Pubrel) -> None:
        """The sender's half of QoS 2 ends [MQTT-4.3.3-11]."""
        known = packet.packet_id in session.awaiting_release
        if known:
            session.awaiting_release.discard(packet.packet_id)
            self._sessions.save_soon(session)
        reason = Reason.SUCCESS if known or session.version != V5 else Reason.PACKET_IDENTIFIER_NOT_FOUND
        self._answer(session, Pubcomp(packet.packet_id, reason))

    def puback(self, session: Session, packet: Puback) -> None:
        self._delivery.puback(session, packet)

    def pubrec(self, session: Session, packet: Pubrec) -> None:
        self._delivery.pubrec(session, packet)

    def pubcomp(self, session: Session, packet: Pubcomp) -> None:
        self._delivery.pubcomp(session, packet)

    def deliver(self, message: Message, now: Millis) -> int:
        """Publishes for the house; to how many sessions it went, or was queued for."""
        if message.retain:
            self._retain(message)
        return self._route(message, None, now)

    def retained(self, topic: str, now: Millis) -> Message | None:
        return self._retained.get(topic, now)

    def retained_after(self, topic: str, limit: int, now: Millis) -> list[Message]:
        """At most `limit` retained messages in the order of their topics, from the first one after `topic`."""
        return self._retained.after(topic, limit, now)

    def _route(self, message: Message, sender: Session | None, now: Millis) -> int:
        if self.watches.open:
            self.watches.saw(message, now)
        reached = 0
        offer = self._delivery.offer
        for session, qos, retain_as_published, local, identifiers in self._subscriptions.route(message.topic):
            if session is sender and not local:  # [MQTT-3.8.3-3]
                continue
            retain = retain_as_published and message.retain
            reached += offer(session, message, qos if qos < message.qos else message.qos, retain, identifiers, now)
        return reached

    def _retain(self, message: Message) -> bool:
        """Keeps the message for later subscribers; an empty one removes what was kept [MQTT-3.3.1-6]."""
        if message.payload:
            if not self._retained.put(message):
                return False
            self._durable.retain(message.topic, message.saved())
        elif self._retained.remove(message.topic):
            self._durable.forget_retained(message.topic)
        return True

    def _refuse(self, session: Session, packet: Publish, reason: int) -> None:
        if packet.qos == 0 or session.version != V5:  # nothing else may say no
            raise ProtocolViolation(reason, "no room for another retained message")
        self.acknowledge(session, packet, reason)

    def _receive_maximum(self, session: Session) -> int:
        """What CONNACK told the client; 3.1.1 has no such thing."""
        return self._limits.receive_maximum if session.version == V5 else MAX_PACKET_ID

    # --- subscribing --------------------------------------------------------------------------------------------------

    def subscribe(self, session: Session, packet: Subscribe, refusals: Sequence[int], now: Millis) -> None:
        """Grants each filter of a SUBSCRIBE; `refusals` gives the guard's reason code for each, 0 when it has none."""
        identifier = number_of(packet.properties, "subscription_identifier", 0)
        reasons = tuple(
            refusal or self._grant(session, Grant(subscription, identifier))
            for subscription, refusal in zip(packet.subscriptions, refusals, strict=True)
        )
        self._sessions.save(session)
        self._answer(session, Suback(packet.packet_id, reasons))
        self._delivery.pump(session, now)

    def _grant(self, session: Session, grant: Grant) -> int:
        """The reason code of one filter; a granted one replaces its predecessor [MQTT-3.8.4-3]."""
        subscription = grant.subscription
        text = subscription.filter
        refusal = self._refusal(session, subscription)
        if refusal:
            return refusal
        is_new = text not in session.grants
        if is_new:
            session.grant_bytes += len(text)
            self._subscribed_levels.add(session.owner, levels_of(text))
        session.grants[text] = grant
        self._subscriptions.add(text, session, grant)
        if subscription.retain_handling == 0 or (subscription.retain_handling == 1 and is_new):
            session.replays[text] = self._replay(grant)
        return subscription.qos

    def _refusal(self, session: Session, subscription: Subscription) -> int:
        text, limits = subscription.filter, self._limits
        if not is_topic_filter(text) or len(text) > limits.topic_bytes or text.count("/") >= limits.topic_levels:
            return Reason.TOPIC_FILTER_INVALID
        if session.version == V5 and text.startswith(SHARED):
            return Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if text not in session.grants and (
            len(session.grants) >= limits.subscriptions
            or session.grant_bytes + len(text) > limits.subscription_bytes
            or self._subscribed_levels.of(session.owner) + levels_of(text) > limits.subscription_levels_per_certificate
        ):
            return Reason.QUOTA_EXCEEDED
        return 0

    def _replay(self, grant: Grant) -> Replay:
        text = grant.subscription.filter
        if has_wildcards(text):
            return Replay(grant, self._retained.find(text))
        return Replay(grant, iter([self._retained.peek(text)]))

    def unsubscribe(self, session: Session, packet: Unsubscribe) -> None:
        reasons = tuple(self._revoke(session, text) for text in packet.filters)
        self._sessions.save(session)
        self._answer(session, Unsuback(packet.packet_id, reasons))

    def _revoke(self, session: Session, text: str) -> int:
        if session.grants.pop(text, None) is None:
            return Reason.NO_SUBSCRIPTION_EXISTED
        session.grant_bytes -= len(text)
        self._subscribed_levels.add(session.owner, -levels_of(text))
        session.replays.pop(text, None)
        self._subscriptions.remove(text, session)
        return Reason.SUCCESS

    def _answer(self, session: Session, packet: Puback | Pubrec | Pubcomp | Suback | Unsuback) -> None:
        if session.peer is not None:
            session.peer.send(packet)
