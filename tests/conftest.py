"""Fixtures that every room may use."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from running_server import RunningServer


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
