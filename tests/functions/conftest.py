"""Fixtures of the functions room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from function_house import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path, retry_delays=(50, 50))
    await house.functions.start()
    yield house
    await house.stop()
