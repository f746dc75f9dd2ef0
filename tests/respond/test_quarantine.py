"""Quarantine and release by hand: the group is made when missing, and what cannot work is refused with a reason."""

import json

import pytest

from fleetward import errors
from fleetward.arn import Arns
from fleetward.model import Decision, Measure
from fleetward.registry import certificates, groups, policies, things
from fleetward.respond import isolations
from fleetward.respond.quarantine import carry_out
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import metadata

ARNS = Arns("us-east-1", "123456789012")
GROUP = "IsolatedDevices"


@pytest.fixture
def tx(tmp_path):
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(1_000) as transaction:
        things.create(transaction, "lamp")
        yield transaction
    database.close()


def quarantine(tx, thing="lamp"):
    return carry_out(tx, ARNS, Decision(Measure.QUARANTINE, thing, "test"), GROUP)


def release(tx, thing="lamp"):
    return carry_out(tx, ARNS, Decision(Measure.RELEASE, thing, "test"), GROUP)


def test_group_is_made_when_missing(tx):
    """A quarantine without a group makes the group with a policy that denies everything."""
    assert quarantine(tx) == [GROUP]
    assert groups.members(tx, GROUP) == ["lamp"]
    (name,) = policies.attached(tx, "thinggroup", GROUP)
    assert json.loads(policies.version(tx, name)["document"])["Statement"][0]["Effect"] == "Deny"


def test_release_undoes_quarantine(tx):
    """A release takes the thing out of every group that denies it, and out of no other."""
    groups.create(tx, "lamps")
    groups.add_thing(tx, "lamps", "lamp")
    quarantine(tx)
    assert release(tx) == [GROUP]
    assert groups.groups_of(tx, "lamp") == ["lamps"]


def test_group_that_isolates_nothing(tx):
    """A group that exists without denying anything is refused as a quarantine."""
    groups.create(tx, GROUP)
    with pytest.raises(errors.InvalidRequest, match="denies iot:Connect"):
        quarantine(tx)


def test_nothing_to_release(tx):
    """Releasing a thing that no group denies is refused, and says where else to look."""
    with pytest.raises(errors.InvalidRequest, match="certificates"):
        release(tx)


def test_unknown_thing(tx):
    """A thing that is not registered can be neither quarantined nor released."""
    for act in (quarantine, release):
        with pytest.raises(errors.ResourceNotFound):
            act(tx, "desk")


def test_policy_on_the_certificate_is_not_the_groups(tx):
    """A deny on the certificate is not undone by leaving groups: the release is refused."""
    certificates.add(tx, "ab" * 32, "PEM", True, 0, 1)
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iot:*", "Resource": "*"}}
    policies.create(tx, "deny", json.dumps(document))
    policies.attach(tx, "deny", ARNS.iot("cert", "ab" * 32))
    certificates.attach_thing(tx, "lamp", ARNS.iot("cert", "ab" * 32))
    with pytest.raises(errors.InvalidRequest):
        release(tx)


def test_record_of_isolations(tx):
    """A thing is on record as isolated once, until it is struck off."""
    isolations.mark(tx, ["lamp", "desk"])
    isolations.mark(tx, ["lamp"])
    isolations.strike(tx, "desk")
    assert isolations.known(tx) == {"lamp"}
