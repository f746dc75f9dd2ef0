"""Carrying out a decision: into the quarantine group, or out of every group that denies."""

from __future__ import annotations

from fleetward import errors
from fleetward.arn import Arns
from fleetward.model import Decision, Measure
from fleetward.policy.document import parse
from fleetward.policy.evaluate import Effect, evaluate
from fleetward.records import PolicyRecord, RecordKind, ThingRecord
from fleetward.registry import feed, groups, policies, things
from fleetward.registry.view import CONNECT, DENY_ALL, thing_context
from fleetward.store.database import Reader, Transaction


def carry_out(tx: Transaction, arns: Arns, decision: Decision, quarantine_group: str) -> list[str]:
    """Does what was decided, inside the caller's transaction; returns the groups the thing was put into or taken from.

    Raises ResourceNotFound for a thing that is not registered, InvalidRequest when the registry's state makes the
    measure impossible (and says what to change).
    """
    things.get(tx, decision.thing)
    if decision.measure is Measure.QUARANTINE:
        return [_quarantine(tx, arns, decision.thing, quarantine_group)]
    return _release(tx, arns, decision.thing)


def _quarantine(tx: Transaction, arns: Arns, thing: str, group: str) -> str:
    if groups.find(tx, group) is None:
        _make_quarantine_group(tx, arns, group)
    groups.add_thing(tx, group, thing)
    if not _denied_by(tx, arns, thing, group):
        raise errors.InvalidRequest(
            f"Thing group {group} exists, but none of its policies denies iot:Connect, so it would isolate nothing; "
            "attach a policy that denies iot:* to it, or choose another group in the setting quarantine_group"
        )
    return group


def _make_quarantine_group(tx: Transaction, arns: Arns, group: str) -> None:
    policy = f"{group}-DenyAll"
    groups.create(tx, group, description="Things cut off by Fleetward")
    if policies.find(tx, policy) is None:
        policies.create(tx, policy, DENY_ALL)
    policies.attach(tx, policy, arns.iot("thinggroup", group))


def _release(tx: Transaction, arns: Arns, thing: str) -> list[str]:
    denying = [group for group in groups.groups_of(tx, thing) if _denied_by(tx, arns, thing, group)]
    if not denying:
        raise errors.InvalidRequest(
            f"Thing {thing} is in no thing group that denies iot:Connect. If it is cut off all the same, look at the "
            "policies and the status of its certificates"
        )
    for group in denying:
        groups.remove_thing(tx, group, thing)
    return denying


def _denied_by(look: Reader, arns: Arns, thing: str, group: str) -> bool:
    """Whether the policies of a group and its ancestors deny the thing's own CONNECT."""
    names = [name for step in groups.ancestors(look, group) for name in policies.attached(look, "thinggroup", step)]
    documents = [record for name in names if isinstance(record := _policy(look, name), PolicyRecord)]
    record = feed.read_record(look, RecordKind.THING, thing)
    outcome = evaluate(
        [parse(document.document, document.name) for document in documents],
        CONNECT,
        arns.iot("client", thing),
        thing_context(record if isinstance(record, ThingRecord) else None, thing),
    )
    return outcome.effect is Effect.EXPLICIT_DENY


def _policy(look: Reader, name: str) -> object:
    return feed.read_record(look, RecordKind.POLICY, name)
