"""Actions in a policy that look misspelt: AWS takes any action, and so does Fleetward, but here with a warning.

A policy that allows `iot:Conect` allows nothing, and nobody hears of it until a device is refused. The warning comes
with the answer, in a header, and in the log.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice

import structlog

from fleetward.access.documents import MAX_CHARACTERS
from fleetward.api import models
from fleetward.api.call import Call
from fleetward.policy.document import action_names
from fleetward.policy.wildcards import compile_wildcards

HEADER = "x-fleetward-warning"

MODELS: Mapping[str, tuple[str, ...]] = {
    "iot": ("iot", "iot-data", "iot-jobs-data"),
    "sns": ("sns",),
    "lambda": ("lambda",),
    "logs": ("logs",),
    "events": ("events",),
    "sts": ("sts",),
    "iam": ("iam",),
}
"""How a service's actions begin → the models whose operations are actions."""

NO_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "iot": ("Connect", "Publish", "Receive", "RetainPublish", "Subscribe", "AssumeRoleWithCertificate"),
    "lambda": ("InvokeFunction", "InvokeFunctionUrl"),
    "iam": ("PassRole",),
}
"""Actions that no operation is named after (IoT Core developer guide, "AWS IoT Core policy actions")."""

MAX_LOOKED_UP = 3
"""Unknown actions of one policy that are compared with the known ones, which takes some milliseconds each."""

LONGEST_ACTION = 64
CLOSE = 0.8

log = structlog.get_logger()


def warn_of_misspelt_actions(call: Call, policy: str, document: str) -> None:
    """Warns of the actions in a policy that was just stored."""
    found = [f"{name} is no action that is known here; did you mean {near}?" for name, near in misspelt(document)]
    for text in found:
        log.warning("policy_warning", policy=policy, text=text)
    if found:
        call.headers[HEADER] = " | ".join(found)


def misspelt(document: str) -> Iterator[tuple[str, str]]:
    """(action as written, the known action that it resembles) of the first few that no service of ours knows."""
    unknown = (name for name in dict.fromkeys(action_names(document, MAX_CHARACTERS)) if not _is_known(name))
    for name in islice(unknown, MAX_LOOKED_UP):
        service, _, wanted = name[:LONGEST_ACTION].partition(":")
        known = actions_of(service.lower())
        for near in difflib.get_close_matches(wanted.lower(), known, n=1, cutoff=CLOSE):
            yield name[:LONGEST_ACTION], f"{service}:{known[near]}"


@cache
def actions_of(service: str) -> dict[str, str]:
    """The actions of a service, by their lower-case names; none of a service that we know nothing of."""
    operations = [name for model in MODELS.get(service, ()) for name in models.service(model).model.operation_names]
    return {name.lower(): name for name in (*operations, *NO_OPERATIONS.get(service, ()))}


def _is_known(name: str) -> bool:
    """Whether at least one action is meant, or it is of a service whose actions we do not know."""
    service, _, wanted = name.lower().partition(":")
    known = actions_of(service)
    if not known or wanted in known:
        return True
    return not {"*", "?"}.isdisjoint(wanted) and any(map(compile_wildcards(wanted).matches, known))
