"""iot: logging options and event configurations. They are kept and shown; nothing is logged or sent because of them."""

from __future__ import annotations

from typing import Any

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.times import datetime_of
from fleetward.registry import account

LOGGING = "logging options"
LOGGING_V2 = "logging options v2"
EVENTS = "event configurations"
V2_MEMBERS = ("roleArn", "defaultLogLevel", "disableAllLogs", "eventConfigurations")


def get_logging_options(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = account.find(look, LOGGING)
    return dict(row["document"]) if row else {"logLevel": "DISABLED"}


def set_logging_options(call: Call) -> dict[str, Any]:
    options = call.params["loggingOptionsPayload"]
    document = {"roleArn": options["roleArn"], "logLevel": options.get("logLevel", "DISABLED")}
    with call.transaction() as tx:
        account.put(tx, LOGGING, document)
    return {}


def get_v2_logging_options(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = account.find(look, LOGGING_V2)
    if row is None:
        raise errors.NotConfigured("V2 logging options are not configured; set them with SetV2LoggingOptions")
    return dict(row["document"])


def set_v2_logging_options(call: Call) -> dict[str, Any]:
    """Changes the members given; those that are absent stay."""
    given = {member: call.params[member] for member in V2_MEMBERS if member in call.params}
    with call.transaction() as tx:
        row = account.find(tx, LOGGING_V2)
        before = row["document"] if row else {"disableAllLogs": False}
        account.put(tx, LOGGING_V2, {**before, **given})
    return {}


def describe_event_configurations(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = account.find(look, EVENTS)
    enabled = row["document"] if row else {}
    answer: dict[str, Any] = {"eventConfigurations": {kind: {"Enabled": kind in enabled} for kind in _kinds(call)}}
    if row is not None:
        answer |= {"creationDate": datetime_of(row["created_at"]), "lastModifiedDate": datetime_of(row["modified_at"])}
    return answer


def update_event_configurations(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        row = account.find(tx, EVENTS)
        enabled = set(row["document"] if row else ())
        for kind, configuration in call.params.get("eventConfigurations", {}).items():
            (enabled.add if configuration.get("Enabled", False) else enabled.discard)(kind)
        account.put(tx, EVENTS, sorted(enabled))
    return {}


def _kinds(call: Call) -> list[str]:
    """The types of events, as the service model lists them."""
    model: Any = call.operation.service_model
    return list(model.shape_for("EventType").enum)
