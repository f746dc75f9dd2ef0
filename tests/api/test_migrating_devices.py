"""A fleet that comes from elsewhere with the certificates it has: registered through boto3, connected with paho."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devices import Device
from fleetward.simulate.provision import Keys
from foreign_ca import ForeignCa
from running_server import RunningServer, until

ALLOW = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'


@pytest.fixture
def device(server: RunningServer, tmp_path: Path) -> Callable[[str, dict[str, Any], tuple[str, str]], Device]:
    """Makes a device with the answer to its registration, and its certificate and key."""
    server.client("iot").create_policy(policyName="Free", policyDocument=ALLOW)

    def make(client_id: str, registered: dict[str, Any], files: tuple[str, str]) -> Device:
        server.client("iot").attach_policy(policyName="Free", target=registered["certificateArn"])
        return Device(client_id, Keys(registered["certificateArn"], *files), server.broker, tmp_path)

    return make


def test_with_and_without_their_ca(server: RunningServer, device: Callable[..., Device], tmp_path: Path) -> None:
    """Both ways of registering let a device in, also after a restart; deactivating its certificate ends its session."""
    iot, ca = server.client("iot"), ForeignCa("Vendor CA")
    code = iot.get_registration_code()["registrationCode"]
    iot.register_ca_certificate(caCertificate=ca.pem, verificationCertificate=ca.verification(code), setAsActive=True)
    signed, lone = ca.leaf("signed"), ForeignCa("Unknown CA").leaf("lone")
    with_ca = iot.register_certificate(certificatePem=signed[0], status="ACTIVE")
    without = iot.register_certificate_without_ca(certificatePem=lone[0], status="ACTIVE")
    clients = [device("signed", with_ca, signed), device("lone", without, lone)]
    unregistered = Device("other", Keys("x/unregistered", *ca.leaf("other")), server.broker, tmp_path)

    assert [client.connect() for client in clients] == ["Success", "Success"]
    assert unregistered.connect() == "Not authorized"
    for certificate, client in zip((with_ca, without), clients, strict=True):
        iot.update_certificate(certificateId=certificate["certificateId"], newStatus="INACTIVE")
        assert client.gone.wait(10)
        assert client.connect() == "Not authorized"
        iot.update_certificate(certificateId=certificate["certificateId"], newStatus="ACTIVE")

    server.kill()
    server.start()
    assert [client.connect() for client in clients] == ["Success", "Success"]
    for client in (*clients, unregistered):
        client.close()


def test_connectivity_of_a_thing(server: RunningServer, device: Callable[..., Device]) -> None:
    """GetThingConnectivityData follows the device that stands for the thing."""
    iot = server.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_thing(thingName="lamp")
    iot.attach_thing_principal(thingName="lamp", principal=made["certificateArn"])
    lamp = device("lamp", made, (made["certificatePem"], made["keyPair"]["PrivateKey"]))
    assert lamp.connect() == "Success"

    def connected() -> bool:
        return bool(iot.get_thing_connectivity_data(thingName="lamp")["connected"])

    until(connected, 10, "the thing to be connected")
    lamp.close()
    until(lambda: not connected(), 10, "the thing to be gone")
    shown = iot.get_thing_connectivity_data(thingName="lamp")
    assert shown["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
