"""Fixtures that every room may use."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from running_server import RunningServer

# How long an example takes says something of the machine, not of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Makes servers in folders of their own, and stops them at the end."""
    made: list[RunningServer] = []

    def make(**environment: str) -> RunningServer:
        folder = tmp_path / f"server{len(made)}"
        folder.mkdir()
        made.append(RunningServer(folder, **environment))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server: Callable[..., RunningServer]) -> RunningServer:
    return make_server()
