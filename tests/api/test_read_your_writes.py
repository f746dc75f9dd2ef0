"""DescribeThing answers from memory: it must never be older than a change that was acknowledged."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_house import Answer, House, ask, signed
from api_server import Server
from fleetward.registry import things

NAMES = st.sampled_from(["lamp", "door", "pump"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["room", "floor", "size"]), st.sampled_from(["", "1", "two"]))
STEPS: st.SearchStrategy[tuple[str, str, Any]] = st.one_of(
    st.tuples(st.just("POST"), NAMES, st.builds(lambda a: {"attributePayload": {"attributes": a}}, ATTRIBUTES)),
    st.tuples(
        st.just("PATCH"),
        NAMES,
        st.builds(lambda a, merge: {"attributePayload": {"attributes": a, "merge": merge}}, ATTRIBUTES, st.booleans()),
    ),
    st.tuples(st.just("DELETE"), NAMES, st.just({})),
)
ROUNDS = 12


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


def request(house: House, method: str, name: str, params: Any = None) -> Any:
    """What the door answers; awaited."""
    body = b"" if params is None else json.dumps(params).encode()
    headers = {"host": "localhost", **signed(method, f"/things/{name}", "iot", house.root, body)}
    return ask(house.door, method, f"/things/{name}", headers, [body])


def after(known: dict[str, Any] | None, method: str, params: Any) -> dict[str, Any] | None:
    """What a thing is after a change that succeeded: AWS's rules in short, as the oracle."""
    if method == "DELETE":
        return None
    given = params["attributePayload"]["attributes"]
    if known is None:
        return {"version": 1, "attributes": {key: value for key, value in given.items() if value}}
    if method == "POST":
        return known
    merged = {**known["attributes"], **given} if params["attributePayload"]["merge"] else given
    return {"version": known["version"] + 1, "attributes": {key: value for key, value in merged.items() if value}}


def shown(answer: Answer) -> dict[str, Any] | None:
    if answer.status == 404:
        return None
    assert answer.status == 200, answer.body
    found = json.loads(answer.body)
    return {"version": found["version"], "attributes": found["attributes"]}


@settings(max_examples=25)
@given(st.lists(STEPS, max_size=12))
def test_every_acknowledged_change_is_described(house: House, steps: list[tuple[str, str, Any]]) -> None:
    """After each change that the door acknowledges or refuses, DescribeThing shows exactly what it left behind."""

    async def play() -> None:
        known: dict[str, dict[str, Any] | None] = {}
        for name in ("lamp", "door", "pump"):
            await request(house, "DELETE", name)
        for method, name, params in steps:
            answer = await request(house, method, name, params if method != "DELETE" else None)
            if answer.status == 200:
                known[name] = after(known.get(name), method, params)
            for other in ("lamp", "door", "pump"):
                assert shown(await request(house, "GET", other)) == known.get(other)

    asyncio.run(play())


class Acknowledged:
    """How many updates of the shared thing have been acknowledged so far."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.count += 1


def test_whoever_asks_sees_what_anybody_was_told(tmp_path: Path) -> None:
    """With writers on many connections and threads, no answer is older than the changes acknowledged before it."""
    house = House(tmp_path)
    server = Server(house)
    clients = [server.client("iot") for _ in range(4)]
    acknowledged = Acknowledged()
    clients[0].create_thing(thingName="shared")

    def look(client: Any, name: str) -> None:
        before = acknowledged.count
        assert client.describe_thing(thingName="shared")["version"] > before
        assert client.describe_thing(thingName=name)["thingName"] == name

    def through_the_api(number: int) -> None:
        client = clients[number]
        for i in range(ROUNDS):
            client.create_thing(thingName=f"api-{number}-{i}")
            client.update_thing(thingName="shared", attributePayload={"attributes": {"by": f"{number}-{i}"}})
            acknowledged.add()
            look(client, f"api-{number}-{i}")
            client.delete_thing(thingName=f"api-{number}-{i}")
            with pytest.raises(client.exceptions.ResourceNotFoundException):
                client.describe_thing(thingName=f"api-{number}-{i}")

    def within_the_house(number: int) -> None:
        for i in range(ROUNDS):
            with house.rooms.database.transaction(house.now()) as tx:
                things.create(tx, f"own-{number}-{i}")
                things.update(tx, "shared", {"by": f"house-{number}-{i}"})
            acknowledged.add()
            look(clients[number], f"own-{number}-{i}")

    tasks: list[tuple[Callable[[int], None], int]] = [
        (task, number) for task in (through_the_api, within_the_house) for number in range(4)
    ]
    try:
        with ThreadPoolExecutor(len(tasks)) as pool:
            for done in [pool.submit(task, number) for task, number in tasks]:
                done.result()
        assert clients[0].describe_thing(thingName="shared")["version"] == 1 + acknowledged.count == 1 + 8 * ROUNDS
    finally:
        for client in clients:
            client.close()
        server.close()
        house.close()
