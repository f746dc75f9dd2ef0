"""`fleetward refusals`: who was refused under a name that is not its own."""

from __future__ import annotations

from pathlib import Path

from command_line import command
from devices import Device
from fleetward.simulate import provision
from fleetward.simulate.provision import SENSORS
from running_server import RunningServer, until


def test_a_claimed_name_is_told_of_and_leaves_no_trace_in_its_owners_activity(
    server: RunningServer, tmp_path: Path
) -> None:
    """A certificate of several things that claims a foreign thing's name appears in the list, not in that thing's."""
    iot, fleetward = server.client("iot"), server.client("fleetward")
    keys = provision.devices(server.client, server.place)
    iot.create_thing(thingName="Victim")
    assert "No connection was refused" in command(server, "refusals").stdout
    for claimed in ("Victim", SENSORS[0]):
        device = Device(claimed, keys, server.broker, tmp_path)
        assert device.connect() == ("Success" if claimed in SENSORS else "Not authorized")
        device.close()
    until(lambda: fleetward.list_activity(thingName=SENSORS[0])["activity"], 10, "the activity to be written")
    (refusal,) = fleetward.list_refusals()["activity"]
    assert (refusal["clientId"], refusal["certificateId"]) == ("Victim", keys.certificate_arn.rsplit("/", 1)[1])
    assert "'Victim' from 127.0.0.1: policy does not allow" in command(server, "refusals").stdout
    assert fleetward.list_activity(thingName="Victim")["activity"] == []
    assert {event["event"] for event in fleetward.list_activity(thingName=SENSORS[0])["activity"]} <= {
        "connected",
        "disconnected",
    }
