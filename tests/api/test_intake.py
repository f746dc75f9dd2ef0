"""How bodies are received: bounded one by one, bounded together, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from typing import Any

import pytest

from fleetward import errors
from fleetward.api import intake
from fleetward.api.intake import ClientGone, Intake, Receive
from fleetward.api.request import Request


def request_with(**headers: str) -> Request:
    return Request("POST", "/", "", {name.replace("_", "-"): value for name, value in headers.items()})


def receiving(chunks: Iterable[bytes], ends: bool = True) -> Receive:
    waiting = list(chunks)

    async def receive() -> MutableMapping[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or not ends}

    return receive


async def never() -> MutableMapping[str, Any]:
    return await asyncio.Event().wait()  # type: ignore[return-value]


async def test_a_body_is_put_together_from_its_chunks() -> None:
    """Chunks are joined, and nothing is held afterwards."""
    door = Intake()
    assert await door.read(receiving([b"ab", b"", b"c"]), request_with(content_length="3"), "iot") == b"abc"
    assert door.held == 0


async def test_without_a_body_nothing_is_awaited() -> None:
    """A request that announces no body is answered at once."""
    assert await Intake().read(never, request_with(), "iot") == b""


async def test_a_body_that_outgrows_the_limit_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an announced length the bytes themselves are counted."""
    monkeypatch.setattr(intake, "BODY_LIMIT", 4)
    door, request = Intake(), request_with(transfer_encoding="chunked")
    with pytest.raises(errors.RequestTooLarge):
        await door.read(receiving([b"abc", b"de", b"f"]), request, "iot")
    assert door.held == 0
    assert len(await door.read(receiving([b"abc", b"de"]), request, "lambda")) == 5


async def test_all_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many half-received bodies wait, the next one is told to come back later."""
    monkeypatch.setattr(intake, "HELD_LIMIT", 4)
    door = Intake()
    door.held = 3
    with pytest.raises(errors.ServiceUnavailable):
        await door.read(receiving([b"a", b"b"]), request_with(content_length="2"), "iot")
    assert door.held == 3


async def test_a_body_that_does_not_arrive_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops sending does not hold its place for ever."""
    monkeypatch.setattr(intake, "BODY_TIMEOUT", 0.01)
    with pytest.raises(errors.RequestTimeout):
        await Intake().read(never, request_with(content_length="2"), "iot")


async def test_a_client_that_hangs_up_is_let_go() -> None:
    """A disconnect in the middle of a body ends the request without an answer."""
    door = Intake()
    with pytest.raises(ClientGone):
        await door.read(receiving([b"a"], ends=False), request_with(content_length="2"), "iot")
    assert door.held == 0
