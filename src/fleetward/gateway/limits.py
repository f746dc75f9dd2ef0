"""LIMITS: the two presets of what one client may ask of the gateway. Every bound on memory is here."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, seconds and counts; 0 for a rate means unlimited."""

    payload: int = 1 * MIB
    topic_bytes: int = 65_535
    topic_levels: int = 200
    client_id_bytes: int = 1024
    reserved_payload: int = 128 * KIB
    """What is handed to the house from a reserved topic: AWS's own bound on a message."""

    filters_per_subscribe: int = 1_000
    subscriptions: int = 1_000
    subscription_bytes: int = 64 * KIB
    """All filters of a session together: the subscription tree has at most one node for each of these bytes."""

    subscription_levels_per_certificate: int = 500_000
    """Levels of all filters of all its sessions together: the nodes they may take in the subscription tree."""

    publishes_per_second: int = 0
    publish_bytes_per_second: int = 0
    connects_per_second: int = 0
    """CONNECTs a second for one client id."""

    receive_maximum: int = 1_000
    inflight: int = 1_000

    keep_alive_min: int = 0
    keep_alive_max: int = 0
    """Seconds; 0 for the maximum means any, and then a keep-alive of 0 means none."""

    session_expiry: int = 7 * 86_400
    """Seconds a persistent session outlives its connection at most; on 3.1.1, always."""

    sessions_per_certificate: int = 20_000
    queued_messages: int = 1_000
    queued_bytes: int = 16 * MIB
    """Waiting for one session."""

    queued_bytes_per_certificate: int = 128 * MIB
    """For all its sessions together, so that one compromised device does not take the others' room."""

    queued_bytes_total: int = 512 * MIB
    retained_messages: int = 100_000
    retained_bytes: int = 256 * MIB

    write_buffer: int = 2 * MIB
    """Waiting to be written to one connection before QoS 0 messages are dropped."""

    connect_seconds: int = 10
    handshake_seconds: int = 30
    handshakes: int = 4_096
    """Connections of which it is not known yet who is at the other end: room for a fleet that comes back at once."""

    packet_seconds: int = 120
    """Time for the rest of a packet of which the beginning has come."""

    stalled_seconds: int = 60
    """Time that a full write buffer may stay full before the connection is dropped."""

    @property
    def packet(self) -> int:
        """The largest packet: payload and topic, and room for MQTT 5 properties."""
        return self.payload + self.topic_bytes + 64 * KIB

    @property
    def connect_packet(self) -> int:
        """The largest CONNECT: five fields of at most 64 KiB and room for properties."""
        return 6 * 64 * KIB


LIMITS: dict[str, Limits] = {
    "standard": Limits(),
    "aws": Limits(
        payload=128 * KIB,
        topic_bytes=256,
        topic_levels=8,
        client_id_bytes=128,
        filters_per_subscribe=8,
        subscriptions=50,
        publishes_per_second=100,
        publish_bytes_per_second=512 * KIB,
        connects_per_second=1,
        receive_maximum=100,
        inflight=100,
        keep_alive_min=30,
        keep_alive_max=1200,
        session_expiry=3600,
    ),
}
"""Preset `aws`: AWS IoT Core's quotas (AWS general reference, "AWS IoT Core endpoints and quotas")."""
