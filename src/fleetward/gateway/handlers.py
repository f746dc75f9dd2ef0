"""HANDLERS: for each packet a client may send, what the guard asks before the broker gets it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fleetward.gateway import endings
from fleetward.gateway.access import CONNECT, PUBLISH, RETAIN_PUBLISH, SUBSCRIBE
from fleetward.gateway.admission import ADMISSION, first_refusal, topic_within
from fleetward.gateway.codec import ProtocolViolation
from fleetward.gateway.doors import Arrival
from fleetward.gateway.limits import Limits
from fleetward.gateway.messages import received_message
from fleetward.gateway.packets import (
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Reason,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from fleetward.gateway.sessions import Session
from fleetward.model import Millis

if TYPE_CHECKING:
    from fleetward.gateway.client import Client

RESERVED_INPUT = re.compile(
    r"\$aws/things/[^/]+/(defender/metrics/(json|cbor)|shadow/(name/[^/]+/)?(get|update|delete))"
)
"""The only `$` topics that clients may publish to: they are for the house, and nobody receives them."""


DELIVERIES = 8
"""So many take about as long as a packet of usual work."""


# --- CONNECT ----------------------------------------------------------------------------------------------------------


def connect(client: Client, packet: Connect, now: Millis) -> None:
    guard = client.guard
    client.version = packet.version
    if not packet.client_id and (packet.version == V5 or packet.clean_start):
        packet.client_id = guard.assigned_client_id()  # [MQTT-3.1.3-6]
        client.has_assigned_id = True
    packet.username = packet.password = None  # no credentials here: the certificate is
    client.connect = packet
    client.refresh()
    known = guard.view.certificate(client.certificate_id) is not None
    if known:
        client.device.attempted()
        if not client.has_assigned_id:
            guard.attribution.note(client.certificate_id, packet.client_id)
    refusal, why = first_refusal(ADMISSION, guard.application(client, now))
    if not refusal:
        admit(client, packet, now)
        return
    if known and refusal == Reason.NOT_AUTHORIZED:
        client.device.denied("")
    guard.tell_refused(client, why, now)
    guard.tell_watches(client, CONNECT, "", why, now)
    refuse(client, refusal, now)


def refuse(client: Client, reason: int, now: Millis) -> None:
    if reason == Reason.NOT_AUTHORIZED and client.version != V5:
        reason = client.guard.connect_refusal_code
    client.send(Connack(False, reason))
    client.end(endings.DENIED, now)


def admit(client: Client, packet: Connect, now: Millis) -> None:
    """Only here, after all checks, an older connection with the client id is taken over."""
    guard = client.guard
    session, resumed = guard.broker.connect(client, packet, client.certificate_id, now)
    keep_alive = clamp_keep_alive(packet.keep_alive, guard.limits)
    client.begin(session, keep_alive)
    guard.enter(client, now)
    client.send(Connack(resumed, Reason.SUCCESS, connack_properties(client, session, keep_alive)))
    slim(packet)


def clamp_keep_alive(asked: int, limits: Limits) -> int:
    """Seconds; where there is a maximum it also stands for 0, "none"."""
    if not limits.keep_alive_max:
        return asked
    return max(limits.keep_alive_min, min(asked or limits.keep_alive_max, limits.keep_alive_max))


def connack_properties(client: Client, session: Session, keep_alive: int) -> dict[str, object]:
    """What an MQTT 5 client cannot assume (§3.2.2.3)."""
    if client.version != V5:
        return {}
    limits, asked = client.guard.limits, client.connect
    properties: dict[str, object] = {
        "receive_maximum": limits.receive_maximum,
        "maximum_packet_size": limits.packet,
        "topic_alias_maximum": 0,
        "shared_subscription_available": 0,
    }
    if client.has_assigned_id:
        properties["assigned_client_identifier"] = client.client_id
    if keep_alive != asked.keep_alive:
        properties["server_keep_alive"] = keep_alive
    if session.expiry_seconds != asked.properties.get("session_expiry_interval", 0):
        properties["session_expiry_interval"] = session.expiry_seconds
    return properties


def slim(packet: Connect) -> None:
    """Drops what is not looked at again: a CONNECT may be large, and stays with its connection."""
    if packet.will is not None:
        packet.will.payload, packet.will.properties = b"", {}
    expiry = packet.properties.get("session_expiry_interval")
    packet.properties = {"session_expiry_interval": expiry} if expiry is not None else {}


# --- PUBLISH ----------------------------------------------------------------------------------------------------------


def publish(client: Client, packet: Publish, now: Millis) -> int | None:
    access, limits, topic = client.access, client.guard.limits, packet.topic
    if packet.properties:
        check_properties(packet.properties)
    if len(packet.payload) > limits.payload:
        raise ProtocolViolation(Reason.PACKET_TOO_LARGE, "the payload is too large")
    session = session_of(client)
    message = received_message(packet, session.client_id, now)
    size = message.size
    if limits.publishes_per_second and is_too_fast(client, size, now):
        client.end(endings.TOO_FAST, now)
        return None
    known = access.known(PUBLISH, topic)
    if known is None and not topic_within(topic, limits):
        raise ProtocolViolation(Reason.TOPIC_NAME_INVALID, "the topic is too long or too deep")
    allowed = known or access.may(PUBLISH, topic, now)
    if not allowed or (packet.retain and not access.may(RETAIN_PUBLISH, topic, now)):
        deny(client, packet, now)
    elif topic[0] == "$":
        consume(client, packet, size, now)
    else:
        client.device.published(topic, size)
        reached = client.guard.broker.publish(session, packet, message, now)
        if not reached:
            client.device.undelivered()
        return reached // DELIVERIES
    return None


def check_properties(properties: Properties) -> None:
    if "topic_alias" in properties:  # CONNACK said that we take none [MQTT-3.3.2-9]
        raise ProtocolViolation(Reason.TOPIC_ALIAS_INVALID, "topic aliases are not accepted")
    if "subscription_identifier" in properties:  # [MQTT-3.3.4-6]
        raise ProtocolViolation(Reason.PROTOCOL_ERROR, "subscription identifiers are the server's to send")


def deny(client: Client, packet: Publish, now: Millis) -> None:
    """Never acknowledges a denied publish as a success: MQTT 5 can say no to QoS 1 and 2, the rest is closed."""
    client.device.denied(packet.topic)
    client.device.tried(packet.topic)
    client.device.spoke()
    client.guard.tell_watches(client, PUBLISH, packet.topic, "it may not be retained, or its topic is reserved", now)
    if client.version == V5 and packet.qos:
        client.guard.broker.acknowledge(session_of(client), packet, Reason.NOT_AUTHORIZED)
    else:
        client.end(endings.DENIED, now)


def consume(client: Client, packet: Publish, size: int, now: Millis) -> None:
    """Hands a message on a reserved input topic to the house, a QoS 2 message only once."""
    guard, session, topic = client.guard, session_of(client), packet.topic
    if not RESERVED_INPUT.fullmatch(topic):
        deny(client, packet, now)
        return
    if len(packet.payload) > guard.limits.reserved_payload:
        raise ProtocolViolation(Reason.PACKET_TOO_LARGE, "the payload is too large")
    client.device.published(topic, size)
    if packet.qos != 2 or packet.packet_id not in session.awaiting_release:
        name, certificate_id, client_id = client.device.name, client.certificate_id, client.client_id
        guard.outlets.arrival(Arrival(name, certificate_id, client_id, topic, packet.payload, now))
    guard.broker.acknowledge(session, packet, Reason.SUCCESS)


def is_too_fast(client: Client, size: int, now: Millis) -> bool:
    limits, rate = client.guard.limits, client.rate
    rate.count(size, now)
    return rate.publishes > limits.publishes_per_second or rate.bytes > limits.publish_bytes_per_second


# --- the other packets ------------------------------------------------------------------------------------------------


def subscribe(client: Client, packet: Subscribe, now: Millis) -> int:
    if len(packet.subscriptions) > client.guard.limits.filters_per_subscribe:
        raise ProtocolViolation(Reason.QUOTA_EXCEEDED, "too many filters in one SUBSCRIBE")
    client.device.spoke()
    refusals = [refusal_of(client, subscription.filter, now) for subscription in packet.subscriptions]
    client.guard.broker.subscribe(session_of(client), packet, refusals, now)
    return len(refusals)


def refusal_of(client: Client, text: str, now: Millis) -> int:
    client.device.tried(text)
    if client.access.may(SUBSCRIBE, text, now):
        return 0
    client.device.denied(text)
    return Reason.NOT_AUTHORIZED


def unsubscribe(client: Client, packet: Unsubscribe, now: Millis) -> int:
    client.device.spoke()
    client.guard.broker.unsubscribe(session_of(client), packet)
    return len(packet.filters)


def puback(client: Client, packet: Puback, now: Millis) -> None:
    client.device.spoke()
    client.guard.broker.puback(session_of(client), packet)


def pubrec(client: Client, packet: Pubrec, now: Millis) -> None:
    client.device.spoke()
    client.guard.broker.pubrec(session_of(client), packet)


def pubrel(client: Client, packet: Pubrel, now: Millis) -> None:
    client.device.spoke()
    client.guard.broker.release(session_of(client), packet)


def pubcomp(client: Client, packet: Pubcomp, now: Millis) -> None:
    client.device.spoke()
    client.guard.broker.pubcomp(session_of(client), packet)


def ping(client: Client, packet: Pingreq, now: Millis) -> None:
    client.send(Pingresp())


def disconnect(client: Client, packet: Disconnect, now: Millis) -> None:
    """Only a normal disconnection drops the will [MQTT-3.14.4-3]."""
    seconds = packet.properties.get("session_expiry_interval")
    if isinstance(seconds, int):
        client.guard.broker.expire_after(session_of(client), seconds)
    client.end(endings.GOODBYE_WITH_WILL if packet.reason else endings.GOODBYE, now)


def misdirected(client: Client, packet: Packet, now: Millis) -> None:
    raise ProtocolViolation(Reason.PROTOCOL_ERROR, f"{type(packet).__name__} is not for servers")


def session_of(client: Client) -> Session:
    """The codec lets nothing through before CONNECT, and nothing is handled after the end."""
    assert client.session is not None
    return client.session


HANDLERS: dict[type[Packet], Callable[[Client, Any, Millis], int | None]] = {
    Connect: connect,
    Publish: publish,
    Puback: puback,
    Pubrec: pubrec,
    Pubrel: pubrel,
    Pubcomp: pubcomp,
    Subscribe: subscribe,
    Unsubscribe: unsubscribe,
    Pingreq: ping,
    Disconnect: disconnect,
    Connack: misdirected,
    Suback: misdirected,
    Unsuback: misdirected,
    Pingresp: misdirected,
}
"""A handler does what the packet asks for, refuses it, or raises ProtocolViolation; `client.ended` may be true
afterwards. It returns how much work that was, in packets of usual work; None and 0 stand for one."""
