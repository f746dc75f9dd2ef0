"""A registry of one's own for each test, and its boto3 client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from registry_house import RegistryHouse


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryHouse]:
    made = RegistryHouse(tmp_path)
    yield made
    made.close()


@pytest.fixture
def iot(registry: RegistryHouse) -> Any:
    return registry.iot
