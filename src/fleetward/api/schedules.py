"""events: schedule rules and the functions they call."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page_of
from fleetward.arn import parse as parse_arn
from fleetward.functions import names, schedules
from fleetward.registry import tags

DEFAULT_BUS = "default"

_TARGET_MEMBERS = frozenset({"Id", "Arn", "Input", "RoleArn"})

# --- rules ------------------------------------------------------------------------------------------------------------


def put_rule(call: Call) -> dict[str, Any]:
    _check_bus(call)
    params = call.params
    if not params.get("ScheduleExpression"):
        raise errors.Validation("Parameter(s) EventPattern or ScheduleExpression must be specified.")
    state = params.get("State", "ENABLED")
    if state not in ("ENABLED", "DISABLED"):
        raise errors.NotImplementedHere(f"Fleetward does not implement the State {state} of PutRule.")
    arn = call.rooms.arns.rule(params["Name"])
    with call.transaction() as tx:
        schedules.put_rule(
            tx,
            params["Name"],
            params["ScheduleExpression"],
            state == "ENABLED",
            params.get("Description", ""),
            params.get("RoleArn"),
        )
        tags.put(tx, arn, {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())})
    return {"RuleArn": arn}


def describe_rule(call: Call) -> dict[str, Any]:
    _check_bus(call)
    with call.read() as look:
        rule = schedules.get(look, call.params["Name"])
    return {**_shown(call, rule), "CreatedBy": call.rooms.arns.account}


def list_rules(call: Call) -> dict[str, Any]:
    _check_bus(call)
    with call.read() as look:
        rules, token = page_of(call, schedules.every(look, call.params.get("NamePrefix", "")))
    return {"Rules": [_shown(call, rule) for rule in rules], "NextToken": token}


def delete_rule(call: Call) -> None:
    _check_bus(call)
    with call.transaction() as tx:
        schedules.delete_rule(tx, call.params["Name"])
        tags.forget(tx, call.rooms.arns.rule(call.params["Name"]))


def enable_rule(call: Call) -> None:
    _set_enabled(call, True)


def disable_rule(call: Call) -> None:
    _set_enabled(call, False)


def _set_enabled(call: Call, enabled: bool) -> None:
    _check_bus(call)
    with call.transaction() as tx:
        schedules.enable(tx, call.params["Name"], enabled)


def _check_bus(call: Call) -> None:
    bus = call.params.get("EventBusName", DEFAULT_BUS)
    if bus not in (DEFAULT_BUS, call.rooms.arns.make("events", f"event-bus/{DEFAULT_BUS}")):
        raise errors.ResourceNotFound(f"Event bus {bus} does not exist.")


def _shown(call: Call, rule: RowMapping) -> dict[str, Any]:
    return {
        "Name": rule["name"],
        "Arn": call.rooms.arns.rule(rule["name"]),
        "ScheduleExpression": rule["expression"],
        "State": "ENABLED" if rule["enabled"] else "DISABLED",
        "Description": rule["description"] or None,
        "RoleArn": rule["role_arn"],
        "EventBusName": DEFAULT_BUS,
    }


# --- targets ----------------------------------------------------------------------------------------------------------


def put_targets(call: Call) -> dict[str, Any]:
    _check_bus(call)
    targets = [(target["Id"], _function(call, target), target.get("Input")) for target in call.params["Targets"]]
    with call.transaction() as tx:
        for target_id, function, text in targets:
            schedules.put_target(tx, call.params["Rule"], target_id, function, text)
    return {"FailedEntryCount": 0, "FailedEntries": []}


def remove_targets(call: Call) -> dict[str, Any]:
    _check_bus(call)
    failed = []
    with call.transaction() as tx:
        schedules.get(tx, call.params["Rule"])
        for target_id in call.params["Ids"]:
            if not schedules.remove_target(tx, call.params["Rule"], target_id):
                code, message = "ResourceNotFoundException", f"Target {target_id} does not exist."
                failed.append({"TargetId": target_id, "ErrorCode": code, "ErrorMessage": message})
    return {"FailedEntryCount": len(failed), "FailedEntries": failed}


def list_targets_by_rule(call: Call) -> dict[str, Any]:
    _check_bus(call)
    with call.read() as look:
        schedules.get(look, call.params["Rule"])
        rows, token = page_of(call, schedules.targets(look, call.params["Rule"]))
    arns = call.rooms.arns
    targets = [
        {"Id": row["target_id"], "Arn": arns.function(row["function_name"]), "Input": row["input"]} for row in rows
    ]
    return {"Targets": targets, "NextToken": token}


def _function(call: Call, target: dict[str, Any]) -> str:
    """The name of the function that a target means."""
    other = sorted(target.keys() - _TARGET_MEMBERS)
    if other:
        raise errors.NotImplementedHere(f"Fleetward does not implement {', '.join(other)} of a target.")
    arn = parse_arn(target["Arn"])
    if arn is None or arn.service != "lambda":
        raise errors.Validation(
            f"Parameter {target['Arn']} is not valid. Reason: Provided Arn is not that of a function."
        )
    if "Input" in target:
        _check_json(target["Id"], target["Input"])
    try:
        return names.resolve(call.rooms.arns, target["Arn"])
    except errors.Refusal as refusal:
        raise errors.Validation(f"Parameter {target['Arn']} is not valid. Reason: {refusal.message}") from refusal


def _check_json(target_id: str, text: str) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise errors.Validation(f"JSON syntax error in input for target {target_id}: {problem}") from problem
