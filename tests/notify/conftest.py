"""The notify room on an empty store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from notify_helpers import House, Receiver, SmtpSink, house, receiver, smtp_sink


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    made = house(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
async def running(home: House) -> AsyncIterator[House]:
    await home.notifier.start()
    yield home
    await home.notifier.stop()


@pytest.fixture
async def endpoint() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpSink]:
    async with smtp_sink() as made:
        yield made
