"""Who is connected: what is remembered of presence events, and how much."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.gateway.doors import Presence
from fleetward.registry.connectivity import Connectivity, Sighting


def event(client_id: str, session: int, connected: bool, device: str | None = None) -> Presence:
    return Presence(client_id, "ab" * 32, device or client_id, connected, "10.0.0.1", session, session)


def anybody(_: Sighting) -> bool:
    return True


def test_end_of_a_session_that_was_taken_over() -> None:
    """The end of an older session does not end a newer one of the same client."""
    connectivity = Connectivity()
    connectivity.note(event("lamp", 1, True))
    connectivity.note(event("lamp", 2, True))
    connectivity.note(event("lamp", 1, False))
    seen = connectivity.of("lamp", anybody)
    assert seen is not None
    assert (seen.connected, seen.session) == (True, 2)


def test_several_clients_of_one_thing() -> None:
    """A thing with several clients is connected while one of them is."""
    connectivity = Connectivity()
    for client, session in (("a", 1), ("b", 2)):
        connectivity.note(event(client, session, True, "lamp"))
    connectivity.note(event("b", 2, False, "lamp"))
    seen = connectivity.of("lamp", anybody)
    assert seen is not None
    assert seen.client_id == "a"
    assert connectivity.of("lamp", lambda sighting: sighting.client_id == "c") is None


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_memory_is_bounded(steps: list[tuple[int, bool]]) -> None:
    """Whatever happens, those that are connected and the latest of the others are remembered, and nothing else."""
    connectivity = Connectivity(remembered=3)
    online: dict[str, int] = {}
    for session, (client, connects) in enumerate(steps, 1):
        name = f"c{client}"
        if connects:
            connectivity.note(event(name, session, True))
            online[name] = session
        elif name in online:
            connectivity.note(event(name, online.pop(name), False))
    assert set(connectivity._online) == set(online)
    assert len(connectivity._offline) <= 3
    remembered = {client for clients in connectivity._clients.values() for client in clients}
    assert remembered == set(connectivity._online) | set(connectivity._offline)
