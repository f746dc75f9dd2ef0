"""Resources as callers name them: by name, by ARN, or by either."""

from __future__ import annotations

from fleetward import arn, errors
from fleetward.api.call import Call


def resource(call: Call, text: str, *kinds: str) -> arn.Arn:
    """What an ARN names, when it is of one of these kinds of iot's resources in this account and region."""
    parsed = arn.parse(text)
    if parsed is None or parsed.service != "iot" or parsed.kind not in kinds or not parsed.name:
        raise errors.InvalidRequest(f"{text} is not the ARN of a {' or '.join(kinds)}")
    ours = call.rooms.arns
    if (parsed.region, parsed.account) != (ours.region, ours.account):
        raise errors.InvalidRequest(f"{text} is not of account {ours.account} in region {ours.region}")
    return parsed


def certificate(call: Call, principal: str) -> str:
    """The id of the certificate that a principal's ARN names."""
    return resource(call, principal, "cert").name


def either(call: Call, kind: str, name_key: str, arn_key: str) -> str:
    """The name given by itself or in an ARN; one of the two must be there, and they must not differ."""
    name, text = call.params.get(name_key), call.params.get(arn_key)
    if not name and not text:
        raise errors.InvalidRequest(f"Either {name_key} or {arn_key} must be given")
    in_arn = resource(call, text, kind).name if text else name
    if name and name != in_arn:
        raise errors.InvalidRequest(f"{name_key} and {arn_key} name different resources")
    return str(in_arn)
