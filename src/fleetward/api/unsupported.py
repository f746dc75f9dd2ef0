"""UNSUPPORTED: parameters that AWS has and Fleetward has not, refused by name rather than ignored in silence.

A parameter is in this table when ignoring it would change what the caller gets. One that is ignored because nobody can
tell the difference is named in coverage.py instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetward import errors

NOTHING: tuple[Any, ...] = ()

FUNCTION: Mapping[str, tuple[Any, ...]] = {
    "AcceleratorConfig": NOTHING,
    "CapacityProviderConfig": NOTHING,
    "CodeSigningConfigArn": NOTHING,
    "DeadLetterConfig": NOTHING,
    "DurableConfig": NOTHING,
    "EphemeralStorage": ({"Size": 512},),
    "FileSystemConfigs": NOTHING,
    "ImageConfig": NOTHING,
    "KMSKeyArn": NOTHING,
    "Layers": NOTHING,
    "LoggingConfig": ({"LogFormat": "Text"},),
    "PackageType": ("Zip",),
    "Publish": NOTHING,
    "PublishTo": NOTHING,
    "RuntimeConfig": NOTHING,
    "SnapStart": ({"ApplyOn": "None"},),
    "TenancyConfig": NOTHING,
    "VpcConfig": NOTHING,
}


def _none_of(*names: str) -> Mapping[str, tuple[Any, ...]]:
    return dict.fromkeys(names, NOTHING)


UNSUPPORTED: Mapping[tuple[str, str], Mapping[str, tuple[Any, ...]]] = {
    ("lambda", "CreateFunction"): FUNCTION,
    ("lambda", "UpdateFunctionConfiguration"): FUNCTION,
    ("lambda", "UpdateFunctionCode"): _none_of("Publish", "PublishTo"),
    ("lambda", "Invoke"): _none_of("DurableExecutionName", "TenantId"),
    ("lambda", "ListFunctions"): _none_of("MasterRegion"),
    ("lambda", "AddPermission"): _none_of(
        "EventSourceToken", "FunctionUrlAuthType", "InvokedViaFunctionUrl", "PrincipalOrgID"
    ),
    ("sts", "AssumeRole"): _none_of(
        "MinimumSessionTokenSize",
        "ProvidedContexts",
        "SerialNumber",
        "SourceIdentity",
        "Tags",
        "TokenCode",
        "TransitiveTagKeys",
    ),
    ("sts", "GetSessionToken"): _none_of("MinimumSessionTokenSize", "SerialNumber", "TokenCode"),
    ("iam", "CreateRole"): _none_of("PermissionsBoundary"),
    ("iam", "CreateUser"): _none_of("PermissionsBoundary"),
    ("events", "PutRule"): _none_of("EventPattern"),
    ("logs", "CreateLogGroup"): _none_of("deletionProtectionEnabled", "kmsKeyId", "tags"),
    ("logs", "DescribeLogGroups"): _none_of("accountIdentifiers", "includeLinkedAccounts", "logGroupIdentifiers"),
    ("logs", "FilterLogEvents"): _none_of("unmask"),
    ("logs", "GetLogEvents"): _none_of("unmask"),
}
"""(service, operation) → parameter → the values that ask for nothing but what is done anyway."""


def refuse_unsupported(service: str, operation: str, params: Mapping[str, Any]) -> None:
    """Raises errors.NotImplementedHere naming each parameter that asks for something we do not do."""
    table = UNSUPPORTED.get((service, operation), {})
    asked = [name for name, harmless in table.items() if (value := params.get(name)) and value not in harmless]
    if asked:
        raise errors.NotImplementedHere(f"Fleetward does not implement {', '.join(asked)} of {operation}.")
