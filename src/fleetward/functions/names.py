"""The four ways AWS lets a caller name a function, brought to one: its bare name."""

from __future__ import annotations

import re

from fleetward.arn import Arns
from fleetward.errors import InvalidParameterValue, ResourceNotFound

LATEST = "$LATEST"

_NAME = re.compile(
    r"(?:(?:arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):)?(?P<account>\d{12}):function:|function:)?"
    r"(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]+))?"
)


def resolve(arns: Arns, text: str, qualifier: str | None = None) -> str:
    """The function's name out of a name, `name:qualifier`, a partial ARN (`account:function:name`) or an ARN.

    Only the qualifier `$LATEST` exists here. Raises InvalidParameterValue for what is no function's name, and
    ResourceNotFound for another account, region or qualifier.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise InvalidParameterValue(f"'{text}' is neither a function name nor a function ARN.")
    if match["region"] not in (None, arns.region) or match["account"] not in (None, arns.account):
        raise ResourceNotFound(f"Function not found: {text}")
    asked = qualifier or match["qualifier"] or LATEST
    if asked != LATEST:
        raise ResourceNotFound(f"Function not found: {arns.function(match['name'])}:{asked}")
    return match["name"]
