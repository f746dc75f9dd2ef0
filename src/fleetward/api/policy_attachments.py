"""iot: which policies are attached to what, in today's words and in the older ones (principals)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward.api import names
from fleetward.api.call import Call
from fleetward.api.paging import page_after, page_of
from fleetward.registry import groups
from fleetward.registry import policies as rules


def attach_policy(call: Call) -> dict[str, Any]:
    return _attach(call, call.params["target"], "cert", "thinggroup")


def attach_principal_policy(call: Call) -> dict[str, Any]:
    return _attach(call, call.params["principal"], "cert")


def detach_policy(call: Call) -> dict[str, Any]:
    return _detach(call, call.params["target"], "cert", "thinggroup")


def detach_principal_policy(call: Call) -> dict[str, Any]:
    return _detach(call, call.params["principal"], "cert")


def list_attached_policies(call: Call) -> dict[str, Any]:
    names.resource(call, call.params["target"], "cert", "thinggroup")
    with call.read() as look:
        kind, target = rules.find_target(look, call.params["target"])
        owners = [target]
        if kind == "thinggroup" and call.params.get("recursive", False):
            owners = groups.ancestors(look, target)
        found = sorted({name for owner in owners for name in rules.attached(look, kind, owner)})
    return _page_of_policies(call, found)


def list_principal_policies(call: Call) -> dict[str, Any]:
    names.resource(call, call.params["principal"], "cert")
    with call.read() as look:
        kind, target = rules.find_target(look, call.params["principal"])
        found = rules.attached(look, kind, target)
    return _page_of_policies(call, found if call.params.get("ascendingOrder", True) else found[::-1])


def list_targets_for_policy(call: Call) -> dict[str, Any]:
    arns, token = _page_of_targets(call, None)
    return {"targets": arns, "nextMarker": token}


def list_policy_principals(call: Call) -> dict[str, Any]:
    arns, token = _page_of_targets(call, "cert", call.params.get("ascendingOrder", True))
    return {"principals": arns, "nextMarker": token}


def _attach(call: Call, target: str, *kinds: str) -> dict[str, Any]:
    names.resource(call, target, *kinds)
    with call.transaction() as tx:
        rules.attach(tx, call.params["policyName"], target)
    return {}


def _detach(call: Call, target: str, *kinds: str) -> dict[str, Any]:
    names.resource(call, target, *kinds)
    with call.transaction() as tx:
        rules.detach(tx, call.params["policyName"], target)
    return {}


def _page_of_policies(call: Call, found: Sequence[str]) -> dict[str, Any]:
    shown, token = page_of(call, found)
    arns = call.rooms.arns
    policies = [{"policyName": name, "policyArn": arns.iot("policy", name)} for name in shown]
    return {"policies": policies, "nextMarker": token}


def _page_of_targets(call: Call, kind: str | None, ascending: bool = True) -> tuple[list[str], str | None]:
    name = call.params["policyName"]
    with call.read() as look:
        rules.get(look, name)

        def fetch(limit: int, after: Any) -> Sequence[RowMapping]:
            return rules.targets(look, name, kind, limit, after, ascending)

        rows, token = page_after(call, fetch, lambda row: (row["target_kind"], row["target"]))
    return [call.rooms.arns.iot(row["target_kind"], row["target"]) for row in rows], token
