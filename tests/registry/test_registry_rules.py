"""The rules that keep things, groups, certificates and policies consistent."""

import json

import pytest

from fleetward import errors
from fleetward.arn import Arns
from fleetward.registry import certificates, groups, policies, tags, things
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import metadata

ARNS = Arns("us-east-1", "123456789012")
CERTIFICATE = "ab" * 32
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})


@pytest.fixture
def tx(tmp_path):
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(1_000) as transaction:
        yield transaction
    database.close()


def add_certificate(tx, certificate_id=CERTIFICATE, active=True):
    certificates.add(tx, certificate_id, "PEM", active, 0, 10_000)
    return ARNS.iot("cert", certificate_id)


class TestThings:
    def test_same_configuration_again(self, tx):
        """Creating a thing again succeeds with the same configuration and is a conflict with another."""
        first = things.create(tx, "lamp", {"room": "hall"})
        assert things.create(tx, "lamp", {"room": "hall"})["id"] == first["id"]
        with pytest.raises(errors.ResourceAlreadyExists):
            things.create(tx, "lamp", {"room": "attic"})

    def test_attributes_merge_and_empty_value(self, tx):
        """Attributes are replaced unless merged, and an empty value removes its attribute."""
        things.create(tx, "lamp", {"room": "hall", "floor": "1"})
        things.update(tx, "lamp", {"room": ""}, merge=True)
        assert things.get(tx, "lamp")["attributes"] == {"floor": "1"}
        things.update(tx, "lamp", {"room": "attic"})
        assert things.get(tx, "lamp")["attributes"] == {"room": "attic"}

    def test_expected_version(self, tx):
        """A change against another version than the current one is refused."""
        things.create(tx, "lamp")
        with pytest.raises(errors.VersionConflict):
            things.update(tx, "lamp", {"a": "b"}, expected_version=7)

    def test_deleting(self, tx):
        """A missing thing is deleted without complaint, one with principals is not, one without leaves its groups."""
        things.delete(tx, "lamp")
        things.create(tx, "lamp")
        groups.create(tx, "lamps")
        groups.add_thing(tx, "lamps", "lamp")
        principal = add_certificate(tx)
        certificates.attach_thing(tx, "lamp", principal)
        with pytest.raises(errors.InvalidRequest):
            things.delete(tx, "lamp")
        certificates.detach_thing(tx, "lamp", principal)
        things.delete(tx, "lamp")
        assert groups.members(tx, "lamps") == []

    def test_missing_thing_hint(self, tx):
        """The refusal of an unknown name suggests a near one."""
        things.create(tx, "SensorDevice02")
        with pytest.raises(errors.ResourceNotFound, match="Did you mean SensorDevice02"):
            things.get(tx, "SensorDevice2")


class TestGroups:
    def test_members_of_descendants(self, tx):
        """A group's things include those of the groups below it only when asked recursively."""
        groups.create(tx, "building")
        groups.create(tx, "floor", parent="building")
        things.create(tx, "lamp")
        groups.add_thing(tx, "floor", "lamp")
        assert groups.members(tx, "building") == []
        assert groups.members(tx, "building", recursive=True) == ["lamp"]

    def test_not_two_groups_of_one_hierarchy(self, tx):
        """A thing may be in one group of a hierarchy only."""
        groups.create(tx, "building")
        groups.create(tx, "floor", parent="building")
        things.create(tx, "lamp")
        groups.add_thing(tx, "floor", "lamp")
        groups.add_thing(tx, "floor", "lamp")
        with pytest.raises(errors.InvalidRequest, match="floor"):
            groups.add_thing(tx, "building", "lamp")

    def test_at_most_ten_groups(self, tx):
        """A thing is in ten groups at most."""
        things.create(tx, "lamp")
        for number in range(10):
            groups.create(tx, f"group{number}")
            groups.add_thing(tx, f"group{number}", "lamp")
        groups.create(tx, "onemore")
        with pytest.raises(errors.InvalidRequest):
            groups.add_thing(tx, "onemore", "lamp")

    def test_group_with_children_stays(self, tx):
        """A group with child groups is not deleted, and one that is deleted lets go of its things and policies."""
        groups.create(tx, "building")
        groups.create(tx, "floor", parent="building")
        with pytest.raises(errors.InvalidRequest):
            groups.delete(tx, "building")
        policies.create(tx, "p", DOCUMENT)
        policies.attach(tx, "p", ARNS.iot("thinggroup", "floor"))
        groups.delete(tx, "floor")
        assert policies.targets(tx, "p") == []

    def test_unknown_group_or_thing(self, tx):
        """Adding to a group that is not there, or a thing that is not there, is ResourceNotFound with a hint."""
        things.create(tx, "lamp")
        groups.create(tx, "IsolatedDevices")
        with pytest.raises(errors.ResourceNotFound, match="Did you mean IsolatedDevices"):
            groups.add_thing(tx, "IsolatedDevice", "lamp")
        with pytest.raises(errors.ResourceNotFound):
            groups.add_thing(tx, "IsolatedDevices", "desk")


class TestPolicies:
    def test_versions(self, tx):
        """A policy keeps five versions, its default one cannot be deleted, and numbers are never used again."""
        policies.create(tx, "p", DOCUMENT)
        for number in range(2, 6):
            assert policies.create_version(tx, "p", DOCUMENT) == number
        with pytest.raises(errors.VersionsLimitExceeded):
            policies.create_version(tx, "p", DOCUMENT)
        with pytest.raises(errors.DeleteConflict):
            policies.delete_version(tx, "p", 1)
        policies.delete_version(tx, "p", 5)
        assert policies.create_version(tx, "p", DOCUMENT, as_default=True) == 6
        assert policies.get(tx, "p")["default_version"] == 6

    def test_malformed_documents_are_not_stored(self, tx):
        """A document that the evaluator could not hold to is refused when it is stored."""
        bad = json.loads(DOCUMENT)
        bad["Statement"][0]["Condition"] = {"NoSuchOperator": {"iot:ClientId": "x"}}
        with pytest.raises(errors.MalformedPolicy, match="NoSuchOperator"):
            policies.create(tx, "p", json.dumps(bad))
        assert policies.find(tx, "p") is None

    def test_attachment_limits(self, tx):
        """A group carries two policies and a certificate ten; attaching again is a success."""
        group = ARNS.iot("thinggroup", "g")
        groups.create(tx, "g")
        for name in ("a", "b", "c"):
            policies.create(tx, name, DOCUMENT)
        for name in ("a", "b", "b"):
            policies.attach(tx, name, group)
        with pytest.raises(errors.LimitExceeded):
            policies.attach(tx, "c", group)

    def test_attached_policy_stays(self, tx):
        """A policy that is attached, or has further versions, cannot be deleted."""
        policies.create(tx, "p", DOCUMENT)
        target = add_certificate(tx)
        policies.attach(tx, "p", target)
        with pytest.raises(errors.DeleteConflict):
            policies.delete(tx, "p")
        policies.detach(tx, "p", target)
        policies.create_version(tx, "p", DOCUMENT)
        with pytest.raises(errors.DeleteConflict):
            policies.delete(tx, "p")
        policies.delete_version(tx, "p", 2)
        policies.delete(tx, "p")
        assert policies.find(tx, "p") is None

    @pytest.mark.parametrize("target", ["", "arn:aws:iot:us-east-1:123456789012:thing/lamp", "lamp", "arn:aws:s3:::x"])
    def test_other_targets(self, tx, target):
        """Only certificates and thing groups carry policies."""
        policies.create(tx, "p", DOCUMENT)
        with pytest.raises(errors.InvalidRequest):
            policies.attach(tx, "p", target)


class TestCertificates:
    def test_deletion(self, tx):
        """A certificate is deleted only when it is inactive and attached to nothing."""
        principal = add_certificate(tx)
        things.create(tx, "lamp")
        certificates.attach_thing(tx, "lamp", principal)
        with pytest.raises(errors.CertificateState):
            certificates.delete(tx, CERTIFICATE)
        certificates.set_status(tx, CERTIFICATE, "INACTIVE")
        with pytest.raises(errors.DeleteConflict):
            certificates.delete(tx, CERTIFICATE)
        certificates.detach_thing(tx, "lamp", principal)
        certificates.delete(tx, CERTIFICATE)
        assert certificates.find(tx, CERTIFICATE) is None

    def test_exclusive_attachment(self, tx):
        """An exclusive attachment is a certificate's only one."""
        principal = add_certificate(tx)
        for name in ("lamp", "desk"):
            things.create(tx, name)
        certificates.attach_thing(tx, "lamp", principal, exclusive=True)
        with pytest.raises(errors.InvalidRequest):
            certificates.attach_thing(tx, "desk", principal)
        certificates.attach_thing(tx, "lamp", principal, exclusive=False)
        certificates.attach_thing(tx, "desk", principal)
        with pytest.raises(errors.InvalidRequest):
            certificates.attach_thing(tx, "desk", principal, exclusive=True)


def test_tags(tx):
    """Tags are added, changed and removed by key; there are fifty at most."""
    arn = ARNS.iot("thing", "lamp")
    tags.put(tx, arn, {"a": "1", "b": "2"})
    tags.put(tx, arn, {"a": "3"})
    tags.remove(tx, arn, ["b"])
    assert tags.of(tx, arn) == {"a": "3"}
    with pytest.raises(errors.LimitExceeded):
        tags.put(tx, arn, {f"k{number}": "" for number in range(50)})
