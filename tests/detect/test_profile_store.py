"""Security profiles as they are kept and watched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

import fleetward.store.tables.detect  # noqa: F401  (its tables belong to the metadata)
from fleetward import errors
from fleetward.arn import Arns
from fleetward.detect import profile_store, targets
from fleetward.detect.inputs import Target, WatchedProfile
from fleetward.detect.watched import watched_profiles
from fleetward.model import Behavior, Operator, PercentileCriterion
from fleetward.registry import groups, tags
from fleetward.store.database import Database, Touch, sqlite_url
from fleetward.store.tables import metadata

ARNS = Arns("us-east-1", "123456789012")
ALL = Target("all")
SIZE, SENT = "aws:message-byte-size", "aws:num-messages-sent"
BEHAVIOR: dict[str, Any] = {
    "name": "LargeMessageSize",
    "metric": SIZE,
    "criteria": {
        "comparisonOperator": "less-than-equals",
        "statisticalThreshold": {"statistic": "p50"},
        "durationSeconds": 300,
        "consecutiveDatapointsToAlarm": 1,
        "consecutiveDatapointsToClear": 2,
    },
}
TOPIC = ARNS.topic("BadIoTDevices")
MEMBERS: dict[str, Any] = {
    "securityProfileDescription": "the story's",
    "behaviors": [BEHAVIOR],
    "alertTargets": {"SNS": {"alertTargetArn": TOPIC, "roleArn": ARNS.role("alerts")}},
    "additionalMetricsToRetainV2": [{"metric": SENT}],
}


@pytest.fixture
def database(tmp_path: Any) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def touched(database: Database) -> list[Touch]:
    heard: list[Touch] = []
    database.on_commit(heard.extend)
    return heard


def create(database: Database, name: str = "P", tagged: dict[str, str] | None = None, **members: Any) -> None:
    with database.transaction(1000) as tx:
        profile_store.create(tx, ARNS, name, {**MEMBERS, **members}, tagged or {})


def test_create_keeps_what_was_given(database: Database, touched: list[Touch]) -> None:
    """A profile comes out as it went in, at version 1, and its creation is heard."""
    create(database)
    with database.read() as look:
        row = profile_store.get(look, "P")
    assert (row["document"], row["version"], row["created_at"], row["modified_at"]) == (MEMBERS, 1, 1000, 1000)
    assert touched == [("profile", "P")]


def test_create_twice(database: Database) -> None:
    """A profile's name is taken once, whatever is in the second one."""
    create(database)
    with pytest.raises(errors.ResourceAlreadyExists):
        create(database)


def test_everything_wrong_is_told_at_once(database: Database) -> None:
    """Create refuses what validation calls malformed, with every complaint in its message, and keeps nothing."""
    with pytest.raises(errors.InvalidRequest) as refused:
        create(database, behaviors=[{"name": "B"}], additionalMetricsToRetain=["x"])
    assert refused.value.message == (
        "Behavior B is malformed. metric is missing; Behavior B is malformed. criteria is missing; "
        "additionalMetricsToRetain is malformed. metric x is neither a built-in metric nor an existing custom metric"
    )
    with database.read() as look:
        assert profile_store.find(look, "P") is None


def test_a_malformed_margin_is_refused(database: Database) -> None:
    """A margin that is no number is refused at creation and when a profile is tagged, and nowhere else."""
    with pytest.raises(errors.InvalidRequest):
        create(database, tagged={"statistical-margin-percent": "ten"})
    with pytest.raises(errors.InvalidRequest):
        profile_store.check_tag(ARNS.iot("securityprofile", "P"), "statistical-margin-percent", "ten")
    profile_store.check_tag(ARNS.iot("thing", "T"), "statistical-margin-percent", "ten")
    profile_store.check_tag(ARNS.iot("securityprofile", "P"), "owner", "ten")


def test_update(database: Database) -> None:
    """Members that are absent stay, delete flags remove, the version counts on, and the whole profile comes back."""
    create(database)
    with database.transaction(2000) as tx:
        row = profile_store.update(
            tx,
            "P",
            {"securityProfileDescription": "new", "deleteAlertTargets": True, "deleteAdditionalMetricsToRetain": True},
            expected_version=1,
        )
    assert row["document"] == {"securityProfileDescription": "new", "behaviors": [BEHAVIOR]}
    assert (row["version"], row["created_at"], row["modified_at"]) == (2, 1000, 2000)


@pytest.mark.parametrize(
    ("flag", "member"),
    [(flag, member) for flag, members in profile_store.DELETIONS.items() for member in members],
)
def test_delete_flag_with_its_member(database: Database, flag: str, member: str) -> None:
    """A delete flag together with the member it deletes is refused."""
    create(database)
    with pytest.raises(errors.InvalidRequest, match=f"{member} cannot be given together with {flag}"):  # noqa: SIM117
        with database.transaction(2000) as tx:
            profile_store.update(tx, "P", {flag: True, member: []})


def test_versions_and_missing_profiles(database: Database) -> None:
    """Another version than expected is a conflict; a missing profile is not found, but deleting it succeeds."""
    create(database)
    with database.transaction(2000) as tx:
        with pytest.raises(errors.VersionConflict):
            profile_store.update(tx, "P", {}, expected_version=7)
        with pytest.raises(errors.VersionConflict):
            profile_store.delete(tx, ARNS, "P", expected_version=7)
        with pytest.raises(errors.ResourceNotFound):
            profile_store.update(tx, "Q", {})
        with pytest.raises(errors.ResourceNotFound):
            profile_store.attach(tx, "Q", ALL)
        with pytest.raises(errors.ResourceNotFound):
            profile_store.detach(tx, "Q", ALL)
        profile_store.delete(tx, ARNS, "Q", expected_version=7)


def test_delete_takes_attachments_and_tags(database: Database) -> None:
    """A deleted profile leaves no attachment and no tag behind for the next one of its name."""
    create(database, tagged={"statistical-margin-percent": "10"})
    with database.transaction(2000) as tx:
        profile_store.attach(tx, "P", ALL)
        profile_store.delete(tx, ARNS, "P")
    create(database)
    with database.read() as look:
        assert profile_store.attachments_of(look, "P") == []
        assert tags.of(look, ARNS.iot("securityprofile", "P")) == {}


def test_attach(database: Database, touched: list[Touch]) -> None:
    """Attaching again changes nothing, a missing group is not found, detaching what is not attached succeeds."""
    create(database)
    with database.transaction(2000) as tx:
        profile_store.attach(tx, "P", ALL)
        with pytest.raises(errors.ResourceNotFound):
            profile_store.attach(tx, "P", Target("group", "Nowhere"))
    touched.clear()
    with database.transaction(3000) as tx:
        profile_store.attach(tx, "P", ALL)
        profile_store.detach(tx, "P", Target("registered"))
    assert touched == []
    with database.read() as look:
        [row] = profile_store.attachments_of(look, "P")
    assert (profile_store.target_in(row), row["attached_at"]) == (ALL, 2000)


def test_five_profiles_a_target(database: Database) -> None:
    """A target takes five profiles; the sixth is LimitExceeded with AWS's status 410."""
    for number in range(6):
        create(database, f"P{number}")
    with database.transaction(2000) as tx:
        for number in range(5):
            profile_store.attach(tx, f"P{number}", ALL)
        with pytest.raises(errors.LimitExceeded) as refused:
            profile_store.attach(tx, "P5", ALL)
        assert refused.value.status == 410
        profile_store.attach(tx, "P5", Target("registered"))


def test_profiles_for_a_target(database: Database) -> None:
    """A target shows its own profiles and, recursively, those of the groups below it."""
    for name in ("P", "Q"):
        create(database, name)
    parent, child = Target("group", "Parent"), Target("group", "Child")
    with database.transaction(2000) as tx:
        groups.create(tx, "Parent")
        groups.create(tx, "Child", parent="Parent")
        profile_store.attach(tx, "P", parent)
        profile_store.attach(tx, "Q", child)
        flat = profile_store.attachments_for(tx, parent)
        deep = profile_store.attachments_for(tx, parent, recursive=True)
        with pytest.raises(errors.ResourceNotFound):
            profile_store.attachments_for(tx, Target("group", "Nowhere"))
    assert [row["profile_name"] for row in flat] == ["P"]
    assert {(row["profile_name"], row["group_name"]) for row in deep} == {("P", "Parent"), ("Q", "Child")}


def test_a_deleted_group_is_forgotten(database: Database, touched: list[Touch]) -> None:
    """A profile is detached from a group that is deleted, and the kernel hears of it."""
    create(database)
    with database.transaction(2000) as tx:
        groups.create(tx, "G")
        profile_store.attach(tx, "P", Target("group", "G"))
    touched.clear()
    with database.transaction(3000) as tx:
        profile_store.forget_group(tx, "G")
        assert profile_store.attachments_of(tx, "P") == []
    assert touched == [("profile", "P")]


def test_watched_profiles(database: Database) -> None:
    """The kernel gets every attached profile with its running behaviours, margin, retained metrics and targets."""
    create(database, tagged={"statistical-margin-percent": "10", "owner": "me"})
    create(database, "Unattached")
    create(database, "Retains", behaviors=[], additionalMetricsToRetain=[SIZE])
    with database.transaction(2000) as tx:
        groups.create(tx, "G")
        profile_store.attach(tx, "P", ALL)
        profile_store.attach(tx, "P", Target("group", "G"))
        profile_store.attach(tx, "Retains", ALL)
    criterion = PercentileCriterion(Operator.LESS_THAN_EQUALS, 5000, 10.0)
    behavior = Behavior("P", "LargeMessageSize", SIZE, criterion, 300, 1, 2)
    with database.read() as look:
        assert watched_profiles(look) == (
            WatchedProfile("P", (behavior,), frozenset({(SENT, "")}), (ALL, Target("group", "G"))),
            WatchedProfile("Retains", (), frozenset({(SENT, ""), (SIZE, "")}), (ALL,)),
        )


@pytest.mark.parametrize(
    ("resource", "target"),
    [
        ("all/things", ALL),
        ("all/registered-things", Target("registered")),
        ("all/unregistered-things", Target("unregistered")),
        ("thinggroup/My_Group:1", Target("group", "My_Group:1")),
    ],
)
def test_target_arns(resource: str, target: Target) -> None:
    """The four forms of a target's ARN are read and written back."""
    arn = ARNS.make("iot", resource)
    assert targets.parse(arn, ARNS) == target
    assert targets.render(target, ARNS) == arn


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "SensorDevice02",
        ARNS.iot("thing", "SensorDevice02"),
        ARNS.make("iot", "all/others"),
        ARNS.iot("thinggroup", ""),
        ARNS.iot("thinggroup", "a b"),
        ARNS.make("sns", "all/things"),
        "arn:aws:iot:eu-west-1:123456789012:all/things",
        "arn:aws:iot:us-east-1:999999999999:all/things",
    ],
)
def test_no_target(arn: str) -> None:
    """A single thing, another account's or region's fleet, or any other text is no target."""
    with pytest.raises(errors.InvalidRequest, match="is not a target"):
        targets.parse(arn, ARNS)


def test_foreign_keys_hold(database: Database) -> None:
    """No attachment outlives its profile, even one written behind the rules' back."""
    with pytest.raises(sa.exc.IntegrityError), database.transaction(1000) as tx:
        tx.execute(
            sa.insert(metadata.tables["security_profile_targets"]).values(
                profile_name="ghost", kind="all", group_name="", attached_at=1
            )
        )
