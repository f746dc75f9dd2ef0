"""Shares: no device, and no certificate, keeps the others waiting."""

from __future__ import annotations

from collections import Counter

import pytest

from fleetward.gateway.doors import Arrival
from fleetward.shadows import turns
from fleetward.shadows.request import MAX_REQUEST_BYTES
from fleetward.shadows.turns import IN_FLIGHT, PER_SECOND, REFUSALS, Turns


def arrival(certificate: str = "c", client: str = "d", payload: bytes = b"") -> Arrival:
    return Arrival(client, certificate, client, "$aws/things/t/shadow/get", payload, 0)


def test_a_device_has_ten_requests_under_way() -> None:
    """Beyond ten, requests are refused; beyond ten refusals that wait, dropped; each one done makes room."""
    waiting = Turns()
    put = [waiting.put(arrival(), 0) for _ in range(100)]
    assert sum(put) == IN_FLIGHT + REFUSALS
    taken = [waiting.take() for _ in range(IN_FLIGHT + REFUSALS)]
    assert [request.refused for request in taken if request] == [False] * IN_FLIGHT + [True] * REFUSALS
    assert waiting.put(arrival(), 0) is False
    for request in taken:
        assert request is not None
        waiting.done(request)
    assert waiting.put(arrival(), 1000)
    last = waiting.take()
    assert last is not None
    assert not last.refused


def test_a_device_has_twenty_requests_a_second() -> None:
    """However fast they are carried out, the 21st within one second is refused, the first of the next is not."""
    waiting = Turns()

    def ask(now: int) -> bool:
        assert waiting.put(arrival(), now)
        request = waiting.take()
        assert request is not None
        waiting.done(request)
        return request.refused

    assert [ask(999) for _ in range(PER_SECOND + 1)] == [False] * PER_SECOND + [True]
    assert ask(1000) is False


def test_certificates_take_turns() -> None:
    """One certificate with many client ids does not keep another one waiting."""
    waiting = Turns()
    for i in range(500):
        waiting.put(arrival("flood", f"client{i}"), 0)
    waiting.put(arrival("quiet", "device"), 0)
    first = [request.arrival.certificate_id for request in (waiting.take(), waiting.take()) if request]
    assert Counter(first) == {"flood": 1, "quiet": 1}


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are bounds for a certificate, for all requests and for their bytes; what was taken makes room again."""
    monkeypatch.setattr(turns, "WAITING", 8)
    monkeypatch.setattr(turns, "WAITING_PER_CERTIFICATE", 5)
    waiting = Turns()
    assert sum(waiting.put(arrival("a", str(i)), 0) for i in range(9)) == 5
    assert sum(waiting.put(arrival("b", str(i)), 0) for i in range(9)) == 3
    assert waiting.take()
    assert waiting.put(arrival("c"), 0)
    monkeypatch.setattr(turns, "WAITING", 1000)
    monkeypatch.setattr(turns, "WAITING_BYTES", 2 * MAX_REQUEST_BYTES)
    assert sum(waiting.put(arrival(str(i), payload=bytes(MAX_REQUEST_BYTES)), 0) for i in range(9)) == 1


def test_nothing_is_remembered_of_who_is_done() -> None:
    """A device that has nothing under way takes no memory, and no more of an oversized payload waits than shows it."""
    waiting = Turns()
    for i in range(50):
        waiting.put(arrival("c", str(i), bytes(100_000)), i * 1000)
        request = waiting.take()
        assert request is not None
        assert len(request.arrival.payload) == MAX_REQUEST_BYTES + 1
        waiting.done(request)
    assert waiting.take() is None
    assert not waiting._in_flight
    assert not waiting._waiting
    assert len(waiting._this_second) == 1
    assert (waiting._count, waiting._bytes) == (0, 0)
