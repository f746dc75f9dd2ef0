"""Fixtures of the gateway's tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from both_ends import World
from real_gateway import MakeGateway, RealGateway

from fleetward.registry.authority import Authority


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def permissive(world: World) -> World:
    """The world with a certificate that may do everything."""
    world.permissive()
    return world


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(tmp_path_factory.mktemp("authority"), time.time_ns() // 1_000_000)


@pytest.fixture
def make_gateway(tmp_path: Path, authority: Authority) -> Iterator[MakeGateway]:
    """Starts gateways, and stops them at the end."""
    made: list[RealGateway] = []

    def make(**settings: Any) -> RealGateway:
        made.append(RealGateway(tmp_path, authority, **settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture
def gateway(make_gateway: MakeGateway) -> RealGateway:
    return make_gateway()
