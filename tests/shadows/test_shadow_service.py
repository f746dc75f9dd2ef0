"""The shadow service over a real store; what it publishes is collected instead of delivered."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from fleetward import errors
from fleetward.gateway.doors import Arrival, Publish
from fleetward.registry import things
from fleetward.shadows import records
from fleetward.shadows.records import MAX_BY_DEVICES, VERSION_KEPT, Key
from fleetward.shadows.service import Shadows
from fleetward.shadows.turns import IN_FLIGHT, PER_SECOND, REFUSALS
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.base import metadata
from fleetward.store.tables.shadows import shadows as table

CLASSIC, NAMED = Key("thing"), Key("thing", "$config")


class House:
    """The service, a clock that stands still, and what was published."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(sqlite_url(folder / "house.db"))
        metadata.create_all(self.database.engine)
        self.now = 1_700_000_000_000
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.heard = asyncio.Event()
        self.shadows = Shadows(self.database, lambda: self.now, self.publish)

    async def publish(self, message: Publish) -> int:
        assert message.qos == 1
        self.published.append((message.topic, json.loads(message.payload)))
        self.heard.set()
        return 1

    def told(self) -> dict[str, dict[str, Any]]:
        """What was published since the last time, by topic."""
        told, self.published = dict(self.published), []
        return told

    async def ask(self, topic: str, request: Any = None, certificate: str = "c" * 64) -> dict[str, dict[str, Any]]:
        payload = b"" if request is None else request if isinstance(request, bytes) else json.dumps(request).encode()
        await self.shadows.answer(f"$aws/things/{topic}", payload, certificate)
        return {name.removeprefix(f"$aws/things/{topic}"): document for name, document in self.told().items()}

    async def update(self, key: Key, state: Any, **others: Any) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(
            await self.shadows.update(key, json.dumps({"state": state, **others}).encode())
        )
        return document

    def get(self, key: Key) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.shadows.get(key))
        return document


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.shadows.stop()
    made.database.close()


# --- what is answered, and where --------------------------------------------------------------------------------------


async def test_an_update_by_mqtt(house: House) -> None:
    """/accepted repeats the request, /delta has what differs, /documents all before and after, each with its token."""
    await house.update(CLASSIC, {"reported": {"on": False}})
    house.told()
    told = await house.ask("thing/shadow/update", {"state": {"desired": {"on": True}}, "clientToken": "t"})
    edition = {"version": 2, "timestamp": 1_700_000_000, "clientToken": "t"}
    stamp = {"on": {"timestamp": 1_700_000_000}}
    assert told == {
        "/accepted": {"state": {"desired": {"on": True}}, "metadata": {"desired": stamp}, **edition},
        "/delta": {"state": {"on": True}, "metadata": stamp, **edition},
        "/documents": {
            "previous": {"state": {"reported": {"on": False}}, "metadata": {"reported": stamp}, "version": 1},
            "current": {
                "state": {"desired": {"on": True}, "reported": {"on": False}},
                "metadata": {"desired": stamp, "reported": stamp},
                "version": 2,
            },
            "timestamp": 1_700_000_000,
            "clientToken": "t",
        },
    }


async def test_without_a_difference_there_is_no_delta(house: House) -> None:
    """A report that meets what is desired ends the deltas; any other change while they differ repeats them."""
    await house.update(CLASSIC, {"desired": {"on": True}})
    assert "$aws/things/thing/shadow/update/delta" in house.told()
    assert "/delta" in await house.ask("thing/shadow/update", {"state": {"reported": {"on": False}}})
    assert "/delta" not in await house.ask("thing/shadow/update", {"state": {"reported": {"on": True}}})


async def test_get_and_delete_by_mqtt(house: House) -> None:
    """Both answer on /accepted with the token, on /rejected without a shadow; a deleted shadow's version goes on."""
    await house.update(NAMED, {"desired": {"a": 1}})
    house.told()
    topic = "thing/shadow/name/$config"
    got = await house.ask(f"{topic}/get", {"clientToken": "t"})
    assert got == {"/accepted": {**house.get(NAMED), "clientToken": "t"}}
    assert got["/accepted"]["state"] == {"desired": {"a": 1}, "delta": {"a": 1}}
    assert await house.ask(f"{topic}/delete") == {"/accepted": {"version": 1, "timestamp": 1_700_000_000}}
    missing = {"code": 404, "message": "No shadow exists with name: '$config'", "timestamp": 1_700_000_000}
    assert await house.ask(f"{topic}/get", b"whatever") == {"/rejected": missing}
    assert await house.ask(f"{topic}/delete", {"clientToken": "t"}) == {"/rejected": {**missing, "clientToken": "t"}}
    assert (await house.ask("thing/shadow/get"))["/rejected"]["message"] == "No shadow exists with name: 'thing'"
    assert (await house.update(NAMED, {}))["version"] == 2


async def test_refusals_by_mqtt(house: House) -> None:
    """A refused request is answered on /rejected alone, with AWS's code and text and the token if it has one."""
    error = {"code": 400, "message": "Missing required node: state", "timestamp": 1_700_000_000}
    assert await house.ask("thing/shadow/update", {"clientToken": "t"}) == {"/rejected": {**error, "clientToken": "t"}}
    rejected = await house.ask("thing/shadow/update", b"\xff")
    assert rejected["/rejected"]["code"] == 415
    rejected = await house.ask("thing/shadow/update", {"state": {}, "version": 7})
    assert (rejected["/rejected"]["code"], rejected["/rejected"]["message"]) == (409, "Version conflict")
    rejected = await house.ask("the thing/shadow/name/no name/update", {"state": {}})
    assert rejected["/rejected"]["code"] == 400
    with house.database.read() as look:
        assert look.scalar(sa.select(sa.func.count()).select_from(table)) == 0


async def test_the_api_announces_changes_but_no_refusals(house: House) -> None:
    """Updates and deletions over the API are announced on MQTT like a device's; refusals go only to the caller."""
    accepted = await house.update(NAMED, {"desired": {"a": 1}}, clientToken="t")
    told = house.told()
    assert told["$aws/things/thing/shadow/name/$config/update/accepted"] == accepted
    assert sorted(topic.rsplit("/", 1)[1] for topic in told) == ["accepted", "delta", "documents"]
    with pytest.raises(errors.Conflict):
        await house.update(NAMED, {}, version=9)
    with pytest.raises(errors.ResourceNotFound):
        house.get(CLASSIC)
    assert house.told() == {}
    deleted = json.loads(await house.shadows.delete(NAMED))
    assert house.told() == {"$aws/things/thing/shadow/name/$config/delete/accepted": deleted}


async def test_a_change_stays_when_it_cannot_be_announced(house: House) -> None:
    """A gateway that is gone does not undo what was stored, nor does the caller hear of it."""

    async def gone(message: Publish) -> object:
        raise RuntimeError("the gateway stopped")

    lonely = Shadows(house.database, lambda: house.now, gone)
    await lonely.update(CLASSIC, b'{"state":{"desired":{"a":1}}}')
    assert house.get(CLASSIC)["version"] == 1


# --- versions, sizes, bounds ------------------------------------------------------------------------------------------


async def test_a_deleted_version_is_forgotten_after_two_days(house: House) -> None:
    """Within 48 hours a new shadow takes up the deleted one's version; later it begins anew."""
    await house.update(CLASSIC, {})
    await house.update(CLASSIC, {})
    await house.shadows.delete(CLASSIC)
    house.now += VERSION_KEPT - 1
    assert (await house.update(CLASSIC, {"desired": {"a": 1}}))["version"] == 3
    assert house.get(CLASSIC)["state"]["desired"] == {"a": 1}
    await house.shadows.delete(CLASSIC)
    house.now += VERSION_KEPT
    with pytest.raises(errors.ResourceNotFound):
        house.get(CLASSIC)
    assert (await house.update(CLASSIC, {}))["version"] == 1


async def test_a_shadow_may_not_grow_too_large(house: House) -> None:
    """It is the merged state that has 8 KB: the update that would exceed them is refused and changes nothing."""
    await house.update(CLASSIC, {"reported": {"a": "x" * 5000}})
    with pytest.raises(errors.RequestEntityTooLarge):
        await house.update(CLASSIC, {"desired": {"b": "x" * 5000}})
    assert house.get(CLASSIC)["version"] == 1
    assert (await house.update(CLASSIC, {"reported": {"a": None}, "desired": {"b": "x" * 5000}}))["version"] == 2


async def test_shadows_need_no_thing_and_outlive_it(house: House) -> None:
    """A shadow may be made for any name, and deleting a thing leaves its shadows."""
    with house.database.transaction(house.now) as tx:
        things.create(tx, "thing", {}, None)
    await house.update(CLASSIC, {})
    with house.database.transaction(house.now) as tx:
        things.delete(tx, "thing", None)
    assert house.get(CLASSIC)["version"] == 1


async def test_devices_cannot_make_shadows_without_end(house: House) -> None:
    """A certificate may make 100 shadows for unregistered names, devices 100 for a thing; deleted ones count."""
    with house.database.transaction(house.now) as tx:
        things.create(tx, "thing", {}, None)
    for i in range(MAX_BY_DEVICES):
        assert "/accepted" in await house.ask(f"nothing{i}/shadow/update", {"state": {}})
        assert "/accepted" in await house.ask(f"thing/shadow/name/{i}/update", {"state": {}}, f"{i % 2}" * 64)
    await house.ask("nothing0/shadow/delete")
    for topic in ("nothing/shadow/update", "thing/shadow/update"):
        assert (await house.ask(topic, {"state": {}}))["/rejected"]["code"] == 429
    assert "/accepted" in await house.ask("nothing/shadow/update", {"state": {}}, "d" * 64)
    assert "/accepted" in await house.ask("nothing1/shadow/update", {"state": {}})
    await house.update(Key("thing", "by-the-api"), {})


async def test_named_shadows_are_listed(house: House) -> None:
    """The list has neither the classic shadow nor deleted ones nor another thing's."""
    for key in (CLASSIC, Key("thing", "b"), Key("thing", "a"), Key("thing", "c"), Key("other", "d")):
        await house.update(key, {})
    await house.shadows.delete(Key("thing", "c"))
    with house.database.read() as look:
        assert sorted(row["name"] for row in look.all(records.named("thing"))) == ["a", "b"]


# --- requests that arrive from the gateway's thread -------------------------------------------------------------------


def arrivals(house: House, device: str, topic: str, payloads: list[bytes]) -> int:
    """Hands over messages as the gateway's thread does; how many were for the service."""
    return sum(
        house.shadows.arrival(Arrival(device, device, device, f"$aws/things/{topic}", payload, house.now))
        for payload in payloads
    )


async def settled(house: House, count: int) -> None:
    """Waits for so many messages to have been published."""
    async with asyncio.timeout(10):
        while len(house.published) < count:
            house.heard.clear()
            await house.heard.wait()


async def test_no_update_is_lost(house: House) -> None:
    """Devices by MQTT and callers of the API that write at the same time each get a version of their own, in order."""
    await house.shadows.start()

    def devices() -> None:
        for i in range(30):
            device = f"device{i % 6}"
            update = {"state": {"reported": {f"{device}-{i}": i}}}
            arrivals(house, device, "thing/shadow/update", [json.dumps(update).encode()])

    thread = threading.Thread(target=devices)
    thread.start()
    for i in range(30):
        await house.update(CLASSIC, {"desired": {f"api-{i}": i}})
        await asyncio.sleep(0)
    await asyncio.to_thread(thread.join)
    await house.shadows.stop()
    document = house.get(CLASSIC)
    assert document["version"] == 60
    assert (len(document["state"]["reported"]), len(document["state"]["desired"])) == (30, 30)
    versions = [told["version"] for topic, told in house.published if topic.endswith("update/accepted")]
    assert versions == list(range(1, 61))


async def test_a_flood_is_answered_with_429_and_starves_nobody(house: House) -> None:
    """Of a flood ten requests are carried out and ten refused at a time; another device's request passes it."""
    await house.shadows.start()
    payload = json.dumps({"state": {"reported": {"a": 1}}, "clientToken": "flood"}).encode()
    await asyncio.to_thread(arrivals, house, "flood", "flood/shadow/update", [payload] * 1_000)
    await asyncio.to_thread(arrivals, house, "quiet", "quiet/shadow/get", [b""])
    await house.shadows.stop()
    codes = [told["code"] for topic, told in house.published if topic == "$aws/things/flood/shadow/update/rejected"]
    made = [told["version"] for topic, told in house.published if topic == "$aws/things/flood/shadow/update/accepted"]
    assert set(codes) == {429}
    assert REFUSALS <= len(codes) < 500
    assert IN_FLIGHT <= len(made) <= PER_SECOND
    assert any(topic == "$aws/things/quiet/shadow/get/rejected" for topic, _ in house.published)


async def test_only_request_topics_are_for_the_service(house: House) -> None:
    """Device Defender's reports are left to others, and so are names no shadow can have."""
    await house.shadows.start()
    assert arrivals(house, "d", "thing/defender/metrics/json", [b"{}"]) == 0
    assert arrivals(house, "d", f"{'x' * 129}/shadow/get", [b""]) == 0
    assert arrivals(house, "d", "thing/shadow/get/accepted", [b""]) == 0
    assert arrivals(house, "d", "thing/shadow/get", [b""]) == 1
    await settled(house, 1)


async def test_what_was_acknowledged_is_done_before_a_stop(house: House) -> None:
    """Requests that wait when the house stops are carried out first; what comes later is let go."""
    await house.shadows.start()
    arrivals(house, "d", "thing/shadow/update", [b'{"state":{}}'] * 5)
    await house.shadows.stop()
    assert house.get(CLASSIC)["version"] == 5
    assert arrivals(house, "d", "thing/shadow/update", [b'{"state":{}}']) == 1
    assert house.get(CLASSIC)["version"] == 5


async def test_a_request_that_fails_does_not_end_the_service(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours costs the one request."""

    asked = asyncio.Event()

    def broken(*_: Any) -> None:
        asked.set()
        raise RuntimeError("broken")

    await house.shadows.start()
    with monkeypatch.context() as patch:
        patch.setattr(records, "update", broken)
        arrivals(house, "d", "thing/shadow/update", [b'{"state":{}}'])
        await asyncio.wait_for(asked.wait(), 10)
    arrivals(house, "d", "thing/shadow/update", [b'{"state":{}}'])
    await settled(house, 2)
    assert house.get(CLASSIC)["version"] == 1
