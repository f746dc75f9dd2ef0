"""iam: the user that a call is about, which is the caller's own when it names none."""

from __future__ import annotations

from fleetward import errors
from fleetward.access.principals import Kind, principal_of
from fleetward.api.call import Call


def user_name(call: Call) -> str:
    """UserName, else the name of the user who calls. Raises errors.Validation when the caller is no user."""
    if name := call.params.get("UserName"):
        return str(name)
    principal = principal_of(call.caller.principal_arn or "")
    if principal is None or principal.kind is not Kind.USER:
        raise errors.Validation("Must specify userName when calling with non-User credentials")
    return principal.name
