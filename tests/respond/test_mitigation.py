"""Mitigation tasks: what they do to which things, and what they write down of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitigation_house import ROLE, T0, MitigationHouse, isolate

from fleetward import errors
from fleetward.model import AlarmEvent, AlarmKind, Behavior, Operator, StaticCriterion
from fleetward.registry import tags
from fleetward.respond import automatic, mitigation_actions, mitigation_tasks
from fleetward.respond.mitigator import VIOLATIONS_PER_STEP
from fleetward.store.tables.detect import violations


@pytest.fixture
def house(tmp_path: Path) -> Iterator[MitigationHouse]:
    made = MitigationHouse(tmp_path)
    yield made
    made.close()


# --- what a task does -------------------------------------------------------------------------------------------------


def test_named_violations(house: MitigationHouse) -> None:
    """A task puts the things of its violations into the group, and nobody else."""
    ids = [house.violation(f"t{n}") for n in range(3)]
    house.start("task", ids[0], ids[2])
    house.run()
    assert house.members() == ["t0", "t2"]
    task = house.task("task")
    assert (task["status"], task["executed"], task["ended_at"]) == ("SUCCESSFUL", 2, T0)
    assert house.executions("task") == [("t0", "isolate", "SUCCESSFUL"), ("t2", "isolate", "SUCCESSFUL")]


def test_actions_go_in_their_order(house: MitigationHouse) -> None:
    """Several actions of a task run one after the other on each violation."""
    house.start("task", house.violation("t"), actions=("watch", "isolate"))
    house.run()
    assert [action for _, action, _ in house.executions("task")] == ["watch", "isolate"]
    assert house.members("Watched") == house.members("Isolated") == ["t"]


def test_a_failing_action_skips_the_later_ones(house: MitigationHouse) -> None:
    """What follows a failed action is skipped for that violation; the others go on, and the task has failed."""
    ids = [house.violation("stranger", register=False), house.violation("t")]
    house.start("task", *ids, actions=("watch", "isolate"))
    house.run()
    assert house.executions("task") == [
        ("stranger", "watch", "FAILED"),
        ("stranger", "isolate", "SKIPPED"),
        ("t", "watch", "SUCCESSFUL"),
        ("t", "isolate", "SUCCESSFUL"),
    ]
    task = house.task("task")
    assert (task["status"], task["executed"], task["failed"], task["skipped"]) == ("FAILED", 2, 1, 1)


def test_a_missing_group_is_a_failure(house: MitigationHouse) -> None:
    """The execution tells which group is missing."""
    house.start("task", house.violation("t"), actions=("missing",))
    house.run()
    with house.database.read() as look:
        (row,) = look.all(mitigation_tasks.executions("task", None, None, None))
    assert (row["status"], row["error_code"]) == ("FAILED", "ResourceNotFoundException")
    assert "NoSuchGroup" in row["message"]


@pytest.mark.parametrize("resource", ["thing/t", "thinggroup/Isolated"])
def test_the_role_must_be_allowed(house: MitigationHouse, resource: str) -> None:
    """An action whose role may not add the thing to the group fails."""
    house.denied.add(f"arn:aws:iot:us-east-1:123456789012:{resource}")
    house.start("task", house.violation("t"))
    house.run()
    assert house.executions("task") == [("t", "isolate", "FAILED")]
    assert house.members() == []


def test_actions_are_taken_as_they_were(house: MitigationHouse) -> None:
    """A task keeps the actions it was started with, however they change or go."""
    house.start("task", house.violation("t"))
    with house.tx() as tx:
        mitigation_actions.update(tx, "isolate", None, isolate("Watched"))
        mitigation_actions.delete(tx, "isolate")
    house.run()
    assert (house.members("Isolated"), house.members("Watched")) == (["t"], [])


def test_a_whole_profile_in_small_steps(house: MitigationHouse) -> None:
    """A profile's violations are worked off a few at a time, each once; later ones are not the task's."""
    for n in range(2 * VIOLATIONS_PER_STEP + 1):
        house.violation(f"t{n:02}")
    house.start("task", target={"securityProfileName": "P"})
    house.violation("later")
    assert house.run() == 3
    assert len(house.members()) == 2 * VIOLATIONS_PER_STEP + 1
    assert house.task("task")["status"] == "SUCCESSFUL"


def test_what_a_profile_task_covers(house: MitigationHouse) -> None:
    """Behaviour, time of the alarm, whether it is over and whether it is suppressed narrow the task."""
    house.violation("active")
    house.violation("ended", state="alarm-cleared")
    house.violation("other", behavior_name="c")
    house.violation("muted", suppressed=True)
    house.violation("old", started_at=T0 - 10_000)
    house.violation("foreign", profile="Q")
    profile, behavior = {"securityProfileName": "P"}, {"securityProfileName": "P", "behaviorName": "b"}
    for number, (target, how, expected) in enumerate(
        [
            (profile, {}, {"active", "other", "muted", "old"}),
            (behavior, {}, {"active", "muted", "old"}),
            (profile, {"only_active": False}, {"active", "ended", "other", "muted", "old"}),
            (profile, {"include_suppressed": False}, {"active", "other", "old"}),
            (profile, {"period": (T0 - 5, T0)}, {"active", "other", "muted"}),
        ]
    ):
        house.start(str(number), target=target, **how)
        house.run()
        assert {thing for thing, _, _ in house.executions(str(number))} == expected


def test_an_ended_violation_is_skipped(house: MitigationHouse) -> None:
    """A violation that ended before its turn is not acted upon, unless ended ones are included."""
    house.start("task", house.violation("t", state="alarm-invalidated"))
    house.run()
    assert house.executions("task") == [("t", "isolate", "SKIPPED")]
    assert house.task("task")["status"] == "SUCCESSFUL"


def test_cancel(house: MitigationHouse) -> None:
    """A cancelled task does no more and undoes nothing; one that has ended cannot be cancelled."""
    for n in range(VIOLATIONS_PER_STEP + 1):
        house.violation(f"t{n}")
    house.start("task", target={"securityProfileName": "P"})
    assert house.mitigator.step()
    with house.tx() as tx:
        mitigation_tasks.cancel(tx, "task")
    assert house.run() == 0
    assert len(house.members()) == VIOLATIONS_PER_STEP
    assert house.task("task")["status"] == "CANCELED"
    with house.tx() as tx, pytest.raises(errors.InvalidRequest):
        mitigation_tasks.cancel(tx, "task")


def test_a_task_survives_its_mitigator(house: MitigationHouse) -> None:
    """A task that a stop or crash interrupted goes on where it was, and repeats no execution."""
    for n in range(VIOLATIONS_PER_STEP + 2):
        house.violation(f"t{n}")
    house.start("task", target={"securityProfileName": "P"})
    house.mitigator.step()
    again = type(house.mitigator)(house.database, house.arns, lambda: house.now, house._permits)
    while again.step():
        pass
    assert [thing for thing, _, _ in house.executions("task")] == [f"t{n}" for n in range(VIOLATIONS_PER_STEP + 2)]


async def test_the_loop_is_never_blocked_for_long(house: MitigationHouse) -> None:
    """The rest of the house has its turn between any two steps, and a new task is taken up at once."""
    for n in range(25):
        house.violation(f"t{n}")
    await house.mitigator.start()
    house.start("task", target={"securityProfileName": "P"})
    turns = 0
    async with asyncio.timeout(10):
        while house.task("task")["status"] == "IN_PROGRESS":
            turns += 1
            await asyncio.sleep(0)
    await house.mitigator.stop()
    assert turns >= 25 // VIOLATIONS_PER_STEP
    assert len(house.members()) == 25


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"behaviorName": "b"},
        {"violationIds": ["unknown"]},
        {"securityProfileName": "Nobody"},
        {"securityProfileName": "P", "violationIds": ["t"]},
    ],
)
def test_targets_that_are_none(house: MitigationHouse, target: Any) -> None:
    """A target is violations that there are, or a profile that there is."""
    with pytest.raises(errors.InvalidRequest):
        house.start("task", target=target)


def test_actions_that_detect_cannot_run(house: MitigationHouse) -> None:
    """Actions must exist, be of the one type that Detect runs, and be named once."""
    with house.tx() as tx:
        params = {"updateDeviceCertificateParams": {"action": "DEACTIVATE"}}
        mitigation_actions.create(tx, "deactivate", ROLE, params)
    violation = house.violation("t")
    for actions in (("nothing",), ("deactivate",), ("isolate", "isolate")):
        with pytest.raises(errors.InvalidRequest):
            house.start("task", violation, actions=actions)


def test_one_id_is_one_task(house: MitigationHouse) -> None:
    """An id is used once; the same request again, told by its token, succeeds."""
    violation = house.violation("t")
    house.start("task", violation, request_token="a")
    house.start("task", violation, request_token="a")
    for token in ("b", ""):
        with pytest.raises(errors.TaskAlreadyExists):
            house.start("task", violation, request_token=token)


def test_tasks_in_progress_are_limited(house: MitigationHouse) -> None:
    """People cannot start tasks without end."""
    violation = house.violation("t")
    for number in range(mitigation_tasks.MAX_IN_PROGRESS):
        house.start(str(number), violation)
    with pytest.raises(errors.LimitExceeded):
        house.start("one more", violation)


def test_pruning(house: MitigationHouse) -> None:
    """Old tasks go with their executions, those in progress stay."""
    violation = house.violation("t")
    house.start("old", violation)
    house.run()
    house.start("running", violation)
    with house.tx() as tx:
        mitigation_tasks.prune(tx, T0 + 1)
    assert house.executions("old") == []
    assert house.task("running")["status"] == "IN_PROGRESS"


# --- automatic mitigation ---------------------------------------------------------------------------------------------


def alarm(violation_id: str, thing: str, kind: AlarmKind = AlarmKind.IN_ALARM, profile: str = "P") -> AlarmEvent:
    criterion = StaticCriterion(Operator.LESS_THAN, 1)
    behavior = Behavior(profile, "b", "aws:num-messages-sent", criterion, 300)
    return AlarmEvent(kind, violation_id, thing, behavior, T0, 1)


def tag(house: MitigationHouse, value: str) -> None:
    with house.tx() as tx:
        arn = house.arns.iot("securityprofile", "P")
        automatic.check_tags(tx, arn, {mitigation_actions.AUTOMATIC_TAG: value})
        tags.put(tx, arn, {mitigation_actions.AUTOMATIC_TAG: value})


def enlist(house: MitigationHouse, *news: AlarmEvent) -> None:
    with house.tx() as tx:
        automatic.enlist(tx, house.arns, news)


def test_an_alarm_runs_the_actions_of_its_profile(house: MitigationHouse) -> None:
    """The tag's actions run on every alarm of the profile, with the same journal as any task."""
    tag(house, "watch, isolate")
    ids = [house.violation("t1"), house.violation("t2")]
    enlist(house, alarm(ids[0], "t1"), alarm(ids[1], "t2"))
    house.run()
    assert house.members("Watched") == house.members("Isolated") == ["t1", "t2"]
    task = house.task(f"fleetward-{ids[0]}")
    assert (task["started_by"], task["status"], task["executed"]) == ("fleetward", "SUCCESSFUL", 4)


def test_the_same_alarm_again(house: MitigationHouse) -> None:
    """An alarm that is recorded twice starts one task, and nobody else can start one of such an id."""
    tag(house, "isolate")
    violation = house.violation("t")
    with pytest.raises(errors.InvalidRequest):
        house.start(f"fleetward-{violation}", violation)
    for _ in range(2):
        enlist(house, alarm(violation, "t"))
    house.run()
    assert house.executions(f"fleetward-{violation}") == [("t", "isolate", "SUCCESSFUL")]


def test_only_alarms_and_only_tagged_profiles(house: MitigationHouse) -> None:
    """The end of an alarm, and the alarm of a profile without the tag, start nothing."""
    violation = house.violation("t")
    enlist(house, alarm(violation, "t"))
    tag(house, "isolate")
    enlist(house, alarm(violation, "t", AlarmKind.CLEARED), alarm(violation, "t", profile="Q"))
    assert house.run() == 0


def test_a_thousand_alarms_are_one_task(house: MitigationHouse) -> None:
    """Many alarms at once are one task over their range, and over nothing else."""
    tag(house, "isolate")
    before = house.violation("before")
    ids = [house.violation(f"t{n:02}") for n in range(automatic.IDS_SHOWN + 5)]
    house.violation("after")
    enlist(house, *(alarm(one, "t") for one in ids))
    house.run()
    assert house.members() == [f"t{n:02}" for n in range(automatic.IDS_SHOWN + 5)]
    assert house.task(f"fleetward-{ids[0]}")["target"] == {"securityProfileName": "P"}
    assert before not in ids


def test_a_released_device_is_not_isolated_again(house: MitigationHouse) -> None:
    """A violation that was ended before its turn is left alone."""
    tag(house, "isolate")
    violation = house.violation("t")
    enlist(house, alarm(violation, "t"))
    with house.tx() as tx:
        tx.execute(violations.update().values(state="alarm-invalidated"))
    house.run()
    assert house.members() == []


def test_alarms_go_before_what_people_started(house: MitigationHouse) -> None:
    """However long a person's task is, an alarm's mitigation is next."""
    for n in range(3 * VIOLATIONS_PER_STEP):
        house.violation(f"t{n}")
    house.start("long", target={"securityProfileName": "P"})
    house.mitigator.step()
    tag(house, "isolate")
    urgent = house.violation("urgent")
    enlist(house, alarm(urgent, "urgent"))
    house.mitigator.step()
    assert "urgent" in house.members()
    assert house.task("long")["status"] == "IN_PROGRESS"


@pytest.mark.parametrize("value", ["", " , ", "nothing", "isolate,nothing", "a,b,c,d,e,f", "isolate,isolate"])
def test_tags_that_name_no_actions(house: MitigationHouse, value: str) -> None:
    """The tag is refused when it is set, not when the alarm comes."""
    with pytest.raises(errors.InvalidRequest):
        tag(house, value)


def test_other_tags_are_free(house: MitigationHouse) -> None:
    """On anything but a security profile the tag means nothing."""
    with house.tx() as tx:
        automatic.check_tags(tx, house.arns.iot("thinggroup", "g"), {mitigation_actions.AUTOMATIC_TAG: "x"})
        automatic.check_tags(tx, house.arns.iot("securityprofile", "P"), {"team": "x"})


def test_an_action_that_a_profile_counts_on_stays(house: MitigationHouse) -> None:
    """While a profile's tag names an action, it can neither go nor become something Detect cannot run."""
    tag(house, "isolate")
    with house.tx() as tx:
        for change in (
            lambda: mitigation_actions.delete(tx, "isolate"),
            lambda: mitigation_actions.update(
                tx, "isolate", None, {"updateDeviceCertificateParams": {"action": "DEACTIVATE"}}
            ),
        ):
            with pytest.raises(errors.InvalidRequest, match="P"):
                change()
        mitigation_actions.update(tx, "isolate", None, isolate("Watched"))


def test_a_broken_tag_does_not_stop_the_recording(house: MitigationHouse) -> None:
    """Whatever stands in the tag, the alarms are recorded."""
    with house.tx() as tx:
        tags.put(tx, house.arns.iot("securityprofile", "P"), {mitigation_actions.AUTOMATIC_TAG: "gone"})
    enlist(house, alarm(house.violation("t"), "t"))
    assert house.run() == 0
