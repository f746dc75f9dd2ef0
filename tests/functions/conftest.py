"""Fixtures of the functions room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from function_house import House

from fleetward.functions import view


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path, retry_delays=(50, 50))
    await house.functions.start()
    yield house
    await house.stop()


@pytest.fixture
async def without_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house on a machine that gives functions no view of the file system of their own."""
    monkeypatch.setattr(view, "lack", lambda *_: "no namespaces")
    (tmp_path / "without").mkdir()
    house = House(tmp_path / "without")
    await house.functions.start()
    yield house
    await house.stop()
