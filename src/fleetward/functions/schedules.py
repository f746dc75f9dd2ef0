"""Schedule rules and their targets in the store: what EventBridge's PutRule, PutTargets and the like do to them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import RowMapping

from fleetward.arn import Arns
from fleetward.errors import ResourceNotFound, Validation
from fleetward.functions import catalog, expressions, permissions, queue
from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.functions import schedule_rules, schedule_targets

log = structlog.get_logger()

SOURCE = "events"
"""`source` of the invocations; their source_id is `rule/target@slot`."""
MAX_TARGETS = 5

_NOT_PERMITTED = (
    "The function does not permit events.amazonaws.com to call it for this rule: add it with AddPermission."
)
_RETRIED_FROM = 60_000
"""A rate faster than this is not retried: what a late retry would do, the next slot has done."""


def put_rule(
    tx: Transaction,
    name: str,
    expression: str,
    enabled: bool = True,
    description: str = "",
    role_arn: str | None = None,
) -> None:
    """Makes the rule, or replaces all of it but its targets. Its first slot is the next one to start."""
    expressions.parse(expression)
    values = {"expression": expression, "enabled": enabled, "description": description, "role_arn": role_arn}
    if find(tx, name) is None:
        fresh = {"name": name, "created_at": tx.now, "fired_until": tx.now}
        tx.execute(sa.insert(schedule_rules).values({**values, **fresh}))
    else:
        _change(tx, name, **values, fired_until=tx.now)
    tx.touch("schedule", name)


def enable(tx: Transaction, name: str, enabled: bool) -> None:
    rule = get(tx, name)
    if rule["enabled"] != enabled:
        _change(tx, name, enabled=enabled, fired_until=tx.now)
        tx.touch("schedule", name)


def delete_rule(tx: Transaction, name: str) -> None:
    """As AWS: a rule that does not exist is no error, one with targets is."""
    if targets(tx, name):
        raise Validation("Rule can't be deleted since it has targets.")
    tx.execute(sa.delete(schedule_rules).where(schedule_rules.c.name == name))
    tx.touch("schedule", name)


def put_target(tx: Transaction, rule: str, target_id: str, function_name: str, text: str | None) -> None:
    """`text` is the JSON the function gets; None: AWS's scheduled event."""
    get(tx, rule)
    others = [row for row in targets(tx, rule) if row["target_id"] != target_id]
    if len(others) >= MAX_TARGETS:
        raise Validation(f"A rule has at most {MAX_TARGETS} targets.")
    remove_target(tx, rule, target_id)
    row = {"rule_name": rule, "target_id": target_id, "function_name": function_name, "input": text}
    tx.execute(sa.insert(schedule_targets).values(row))
    tx.touch("schedule", rule)


def remove_target(tx: Transaction, rule: str, target_id: str) -> bool:
    """Whether there was one."""
    mine = (schedule_targets.c.rule_name == rule, schedule_targets.c.target_id == target_id)
    return tx.execute(sa.delete(schedule_targets).where(*mine)).rowcount > 0


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(schedule_rules).where(schedule_rules.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    row = find(look, name)
    if row is None:
        raise ResourceNotFound(f"Rule {name} does not exist on EventBus default.")
    return row


def every(look: Reader, prefix: str = "") -> Sequence[RowMapping]:
    query = sa.select(schedule_rules).where(schedule_rules.c.name.startswith(prefix, autoescape=True))
    return look.all(query.order_by(schedule_rules.c.name))


def targets(look: Reader, rule: str) -> Sequence[RowMapping]:
    query = sa.select(schedule_targets).where(schedule_targets.c.rule_name == rule)
    return look.all(query.order_by(schedule_targets.c.target_id))


def of_function(name: str) -> sa.Select[Any]:
    """The targets that call that function, each with its rule."""
    joined = schedule_targets.join(schedule_rules)
    columns = (*schedule_targets.c, schedule_rules.c.expression, schedule_rules.c.enabled)
    query = sa.select(*columns).select_from(joined).where(schedule_targets.c.function_name == name)
    return query.order_by(schedule_targets.c.rule_name, schedule_targets.c.target_id)


# --- firing -----------------------------------------------------------------------------------------------------------


def fire(tx: Transaction, arns: Arns, name: str, slot: Millis) -> int:
    """Queues one invocation per target for the slot that starts at `slot`; a second time does nothing.

    A target whose invocation of an earlier slot has not been taken up or still runs is left out: late work does not
    pile up. Returns the number of invocations.
    """
    rule = find(tx, name)
    if rule is None or not rule["enabled"] or rule["fired_until"] >= slot:
        return 0
    _change(tx, name, fired_until=slot)
    return sum(_call(tx, arns, rule, target, slot) for target in targets(tx, name))


def _call(tx: Transaction, arns: Arns, rule: RowMapping, target: RowMapping, slot: Millis) -> bool:
    arn, function = arns.rule(rule["name"]), target["function_name"]
    problem = _problem(tx, arns, arn, function)
    if problem != target["last_error"]:
        _note(tx, target, problem)
    stem = f"{rule['name']}/{target['target_id']}@"
    if problem is not None or queue.is_unstarted(tx, SOURCE, stem):
        return False
    payload = target["input"] if target["input"] is not None else json.dumps(event(arns, arn, slot))
    queue.enqueue(tx, function, payload.encode(), SOURCE, f"{stem}{slot}", _attempts(rule["expression"]))
    return True


def _problem(look: Reader, arns: Arns, rule_arn: str, function: str) -> str | None:
    if catalog.find(look, function) is None:
        return f"Function not found: {arns.function(function)}"
    if not permissions.may_invoke(look, function, "events.amazonaws.com", rule_arn, arns.account):
        return _NOT_PERMITTED
    return None


def _note(tx: Transaction, target: RowMapping, problem: str | None) -> None:
    if problem is not None:
        log.warning("schedule_cannot_call", rule=target["rule_name"], function=target["function_name"], reason=problem)
    mine = (
        schedule_targets.c.rule_name == target["rule_name"],
        schedule_targets.c.target_id == target["target_id"],
    )
    tx.execute(sa.update(schedule_targets).where(*mine).values(last_error=problem))


def _attempts(expression: str) -> int:
    schedule = expressions.parse(expression)
    often = isinstance(schedule, expressions.Rate) and schedule.period < _RETRIED_FROM
    return 1 if often else queue.MAX_ATTEMPTS


def event(arns: Arns, rule_arn: str, slot: Millis) -> Mapping[str, object]:
    """What AWS sends when a target has no Input."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": arns.account,
        "time": f"{datetime.fromtimestamp(slot / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": arns.region,
        "resources": [rule_arn],
        "detail": {},
    }


def _change(tx: Transaction, name: str, **values: object) -> None:
    tx.execute(sa.update(schedule_rules).where(schedule_rules.c.name == name).values(values))
