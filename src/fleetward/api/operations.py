"""REGISTRY: every operation that is served. A function named after an operation (CreateThing → create_thing) in one of
the service's modules serves it; adding an operation is writing that function, adding a noun is one file and one row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from botocore import xform_name

from fleetward.api import (
    access_keys,
    account_settings,
    authorization,
    by_name,
    ca_certificates,
    certificates,
    custom_metrics,
    deliveries,
    devices,
    dimensions,
    endpoints,
    explained_violations,
    fleet,
    fleetward,
    function_files,
    function_runs,
    functions,
    hindsight,
    identity,
    login_profiles,
    logs,
    managed_policies,
    messages,
    mitigation,
    policies,
    policy_attachments,
    roles,
    schedules,
    security_profiles,
    shadows,
    tagging,
    thing_groups,
    thing_principals,
    thing_types,
    things,
    topics,
    users,
    violation_metrics,
    violations,
    watches,
)
from fleetward.api.call import Call

Result = Mapping[str, Any] | None
Operation = Callable[[Call], Result | Awaitable[Result]]

REGISTRY: dict[str, tuple[ModuleType, ...]] = {
    "iot": (
        things,
        thing_types,
        thing_groups,
        thing_principals,
        certificates,
        ca_certificates,
        policies,
        policy_attachments,
        authorization,
        security_profiles,
        custom_metrics,
        dimensions,
        violations,
        mitigation,
        endpoints,
        tagging,
        account_settings,
    ),
    "iot-data": (messages, shadows),
    "sns": (topics,),
    "lambda": (functions,),
    "logs": (logs,),
    "events": (schedules,),
    "iam": (users, access_keys, login_profiles, roles, managed_policies),
    "sts": (identity,),
    "fleetward": (
        fleetward,
        fleet,
        devices,
        by_name,
        explained_violations,
        violation_metrics,
        hindsight,
        watches,
        deliveries,
        function_files,
        function_runs,
    ),
}

LENIENT = frozenset({("iot", "ValidateSecurityProfileBehaviors")})
"""Operations that report breaches of the service model themselves: they get them as `call.breaches`."""


@cache
def find(service: str, operation: str) -> Operation | None:
    """What serves `operation` of `service` (botocore's names), or None when we do not."""
    name = xform_name(operation)
    for module in REGISTRY.get(service, ()):
        function: Operation | None = getattr(module, name, None)
        if function is not None and getattr(function, "__module__", None) == module.__name__:
            return function
    return None
