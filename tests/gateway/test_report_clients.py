"""Device reports by real clients: paho, AWS's device SDK, and the Defender agent where it is installed.

`FLEETWARD_DEFENDER_AGENT` names the Python that has the agent (PyPI: AWSIoTDeviceDefenderAgentSDK). The agent knows no
other port than 443, which not everybody may listen on.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from awscrt import mqtt
from awsiot import mqtt_connection_builder
from both_ends import ARNS
from real_gateway import SECONDS, MakeGateway, RealGateway, clock

from fleetward.detect.inputs import Report
from fleetward.registry.view import FleetView
from fleetward.reports.desk import ReportDesk
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.base import metadata

AGENT = os.environ.get("FLEETWARD_DEFENDER_AGENT", "")


class Desk:
    """The report desk behind a gateway, on an event loop of its own."""

    def __init__(self, gateway: RealGateway, folder: Path) -> None:
        self.gateway = gateway
        self.reports: list[Report] = []
        self.database = Database(sqlite_url(folder / "desk.db"))
        metadata.create_all(self.database.engine)
        view = FleetView(ARNS)
        for change in gateway._fleet.values():
            view.apply(change)
        self._desk = ReportDesk(self.database, clock, view, gateway.gateway.command, self.reports.append)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._desk.start())
        gateway.outlets.arrival = self._desk.arrival  # type: ignore[method-assign,assignment]

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    def close(self) -> None:
        self._run(self._desk.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()
        self.database.close()


@pytest.fixture
def make_desk(make_gateway: MakeGateway, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(**settings: Any) -> Desk:
        gateway = make_gateway()
        gateway.thing("sensor")
        made.append(Desk(gateway, tmp_path))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


def report(report_id: int) -> dict[str, Any]:
    ports = {"ports": [{"port": 22, "interface": "eth0"}], "total": 1}
    return {"header": {"report_id": report_id, "version": "1.0"}, "metrics": {"listening_tcp_ports": ports}}


def test_paho_in_both_encodings(make_desk: Callable[..., Desk]) -> None:
    """A device hears the fate of its report on the topic below the one it used, in the encoding it used."""
    desk = make_desk()
    device = desk.gateway.certificate(things=["sensor"]).paho("sensor").online()
    device.subscribe([("$aws/things/sensor/defender/metrics/+/+", 1)])
    topic = "$aws/things/sensor/defender/metrics"
    device.publish(f"{topic}/json", json.dumps(report(1)), qos=1)
    heard, payload = device.next()
    assert (heard, json.loads(payload)["status"]) == (f"{topic}/json/accepted", "ACCEPTED")
    device.publish(f"{topic}/cbor", cbor2.dumps(report(2)), qos=0)
    heard, payload = device.next()
    assert (heard, cbor2.loads(payload)["reportId"]) == (f"{topic}/cbor/accepted", 2)
    device.publish(f"{topic}/cbor", cbor2.dumps(report(2)), qos=1)
    heard, payload = device.next()
    assert (heard, cbor2.loads(payload)["statusDetails"]["ErrorCode"]) == (f"{topic}/cbor/rejected", "InvalidPayload")
    device.close()
    assert [one.values["aws:listening-tcp-ports"] for one in desk.reports] == [(22,), (22,)]


def test_awss_device_sdk(make_desk: Callable[..., Desk]) -> None:
    """A report through the AWS IoT Device SDK is accepted."""
    desk, heard = make_desk(), []
    arrived = threading.Event()
    credentials = desk.gateway.certificate(things=["sensor"])
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint="localhost",
        port=desk.gateway.port,
        cert_filepath=str(credentials.certificate_file),
        pri_key_filepath=str(credentials.key_file),
        ca_filepath=str(credentials.gateway.authority.ca_file),
        client_id="sensor",
    )
    connection.connect().result(SECONDS)
    topic = "$aws/things/sensor/defender/metrics/json"

    def on_answer(topic: str, payload: bytes, **_: Any) -> None:
        heard.append(json.loads(payload))
        arrived.set()

    for kind in ("accepted", "rejected"):
        connection.subscribe(f"{topic}/{kind}", mqtt.QoS.AT_LEAST_ONCE, on_answer)[0].result(SECONDS)
    connection.publish(topic, json.dumps(report(5)), mqtt.QoS.AT_MOST_ONCE)[0].result(SECONDS)
    assert arrived.wait(SECONDS)
    assert (heard[0]["reportId"], heard[0]["status"]) == (5, "ACCEPTED")
    connection.disconnect().result(SECONDS)


@pytest.mark.skipif(not AGENT, reason="FLEETWARD_DEFENDER_AGENT is not set")
@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_the_defender_agent(make_gateway: MakeGateway, tmp_path: Path, encoding: str) -> None:
    """The unmodified agent's reports are accepted in both encodings (its own --short_tags ends in a KeyError)."""
    gateway = make_gateway(mqtt_port=443)
    gateway.thing("sensor")
    desk = Desk(gateway, tmp_path)
    credentials = gateway.certificate(things=["sensor"])
    command = [AGENT, "-m", "AWSIoTDeviceDefenderAgentSDK.agent", "-e", "localhost", "-id", "sensor", "-i", "1"]
    command += ["-r", str(gateway.authority.ca_file), "-f", encoding, "-cm"]
    command += ["-c", str(credentials.certificate_file), "-k", str(credentials.key_file)]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        observer = gateway.certificate().paho("observer").online()
        observer.subscribe([("$aws/things/sensor/defender/metrics/+/+", 1)])
        for _ in range(2):
            topic, payload = observer.next()
            assert topic.endswith("/accepted"), payload
        observer.close()
    finally:
        agent.kill()
        agent.communicate()
        desk.close()
    first, second = desk.reports[:2]
    assert "aws:all-bytes-out" not in first.values
    assert isinstance(second.values["aws:all-bytes-out"], int)
