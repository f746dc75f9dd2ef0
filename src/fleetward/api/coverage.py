"""What of AWS's API is served, and where it differs: `python -m fleetward.api.coverage > docs/aws-coverage.md`.

Which operations there are is read from the service models, which are served from operations.py; DIFFERENCES adds what
no model tells. A test holds the committed page against what this prints.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from fleetward.api import models, operations
from fleetward.api.unsupported import UNSUPPORTED

WIDTH = 120

EVERYWHERE = (
    "Every request must be signed (Signature Version 4, in a header or a presigned URL) for the server's region and "
    "with a key it knows; only health, metrics and the links in SNS's messages need no signature.",
    "An operation that is not served is refused by name with 501 `NotImplementedException`, and so is a parameter that "
    "Fleetward does not support. What is taken and has no effect is told below.",
    "Lists come in pages of at most 250 items, whatever more is asked for; a token belongs to the operation that gave "
    "it out, and does not expire.",
    "A change is in force when it is answered, on connected devices too; nothing is eventually consistent.",
    "Numbers of requests are not throttled.",
)
"""What differs from AWS in every operation."""

OWN_CA = "Signed by the server's own CA."
LINTED = "Lint's warnings come in the header `x-fleetward-warning`."
ANY_DURATION = f"`durationSeconds` from 5 to 86,400; the tag `statistical-margin-percent` widens percentiles. {LINTED}"
KEPT_ONLY = "Kept and shown; nothing is logged because of it."
NO_DYNAMIC_GROUPS = "There are no dynamic groups, so `overrideDynamicGroups` has no effect."
ONLY_ZIP = "Code comes as `ZipFile`, and there is one version, `$LATEST`"
OWN_MACHINE = "Functions run on the server's own architecture, without X-Ray: `Architectures`"
NO_FIFO = "Standard topics only, so `MessageDeduplicationId` is refused and `MessageGroupId` goes nowhere, as on AWS"

DIFFERENCES: dict[str, dict[str, str]] = {
    "iot": {
        "AddThingToThingGroup": NO_DYNAMIC_GROUPS,
        "AttachSecurityProfile": LINTED,
        "CreateCertificateFromCsr": OWN_CA,
        "CreateKeysAndCertificate": OWN_CA,
        "CreateSecurityProfile": ANY_DURATION,
        "CreateThing": "There are no billing groups.",
        "DescribeEndpoint": "The broker's host, which has no port in AWS's answer; `iot:Data-ATS` and `iot:Data` only.",
        "DescribeEventConfigurations": "Kept and shown; no events are published because of them.",
        "GetEffectivePolicies": "There are no Cognito identities.",
        "GetLoggingOptions": KEPT_ONLY,
        "GetV2LoggingOptions": KEPT_ONLY + " `verbose` has no effect.",
        "ListCACertificates": "There are no provisioning templates, so none is found by `templateName`.",
        "RegisterCACertificate": "There is no just-in-time registration: `allowAutoRegistration` is refused.",
        "RegisterCertificateWithoutCA": "Such a certificate connects over mutual TLS like any other.",
        "SetLoggingOptions": KEPT_ONLY,
        "SetV2LoggingOptions": KEPT_ONLY,
        "TestAuthorization": "There are no Cognito identities.",
        "UpdateCACertificate": "There is no just-in-time registration, so `removeAutoRegistration` has no effect.",
        "UpdateEventConfigurations": "Kept and shown; no events are published because of them.",
        "UpdateSecurityProfile": ANY_DURATION,
        "UpdateThingGroupsForThing": NO_DYNAMIC_GROUPS,
    },
    "iot-data": {
        "Publish": "Payloads up to 1 MiB unless the server's MQTT limits are those of AWS (128 KiB).",
    },
    "sns": {
        "CreateTopic": "Standard topics only; no data protection policies.",
        "Publish": f"To topics, not to telephones. {NO_FIFO}.",
        "PublishBatch": f"{NO_FIFO}.",
        "Subscribe": "`email`, `email-json`, `http`, `https` and `lambda`; HTTP endpoints may be on the own network.",
    },
    "lambda": {
        "CreateFunction": f"{ONLY_ZIP}. Any `python3.x`. {OWN_MACHINE} and `TracingConfig` have no effect.",
        "ListFunctions": "There is one version of each function, so `FunctionVersion` has no effect.",
        "UpdateFunctionCode": f"{ONLY_ZIP}. {OWN_MACHINE} has no effect.",
        "UpdateFunctionConfiguration": "There is no X-Ray, so `TracingConfig` has no effect.",
    },
    "logs": {
        "DescribeLogGroups": "Of the one account.",
        "FilterLogEvents": "`interleaved` has no effect: events are always interleaved, as on AWS since 2019.",
    },
    "events": {
        "DeleteRule": "There are no managed rules, so `Force` has no effect.",
        "PutRule": "Schedules only, no event patterns; `rate(N seconds)` is an addition.",
        "PutTargets": "Functions only, with a constant `Input`.",
        "RemoveTargets": "There are no managed rules, so `Force` has no effect.",
    },
    "iam": {
        "GetAccessKeyLastUsed": "Accurate to a minute.",
        "ListEntitiesForPolicy": "There are no user groups.",
        "UpdateAccessKey": "`Active` and `Inactive` only.",
    },
}
"""Service → operation → what differs from AWS, in one line. Members that are taken without effect are named; those that
are refused come from unsupported.py.
"""


def served(service: str) -> list[str]:
    """The operations of a service (botocore's name) that are served, in the model's order."""
    return [name for name in models.service(service).model.operation_names if operations.find(service, name)]


def refused(service: str, name: str) -> str:
    """The members that are refused by name, as a sentence; empty when there are none."""
    members = models.service(service).model.operation_model(name).input_shape.members
    table = UNSUPPORTED.get((service, name), {})
    told = [f"`{member}`{_but(harmless)}" for member, harmless in table.items() if member in members]
    return f"Refused: {', '.join(told)}." if told else ""


def _but(harmless: tuple[Any, ...]) -> str:
    return f" other than `{json.dumps(harmless[0])}`" if harmless else ""


def page() -> str:
    """docs/aws-coverage.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What of AWS is served"
    yield ""
    yield "Made by `python -m fleetward.api.coverage > docs/aws-coverage.md`; a test fails when it is out of date."
    yield ""
    yield "| service | name for boto3 and the CLI | served | of |"
    yield "|---|---|---:|---:|"
    for service in operations.REGISTRY:
        model = models.service(service).model
        name = f"[{model.metadata['serviceFullName']}](#{service})"
        yield f"| {name} | `{service}` | {len(served(service))} | {len(model.operation_names)} |"
    yield ""
    yield "In every operation:"
    yield ""
    for sentence in EVERYWHERE:
        yield textwrap.fill(sentence, WIDTH, initial_indent="- ", subsequent_indent="  ")
    for service in operations.REGISTRY:
        yield from _section(service)


def _section(service: str) -> Iterator[str]:
    names = served(service)
    differences = DIFFERENCES.get(service, {})
    yield from ("", f"## {service}", "")
    yield "| operation | status | what differs from AWS |"
    yield "|---|---|---|"
    for name in names:
        told = f"{differences.get(name, '')} {refused(service, name)}".strip()
        yield f"| {name} | served | {told} |"
    missing = [name for name in models.service(service).model.operation_names if name not in names]
    if missing:
        yield ""
        yield textwrap.fill(f"Not served ({len(missing)}): {', '.join(missing)}.", WIDTH)


if __name__ == "__main__":
    print(page(), end="")
