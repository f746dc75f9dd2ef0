"""sts: who am I, and short-lived keys for a role."""

from __future__ import annotations

from typing import Any

from fleetward import errors
from fleetward.api import access, roles
from fleetward.api.call import Call, Caller
from fleetward.arn import parse
from fleetward.store.database import Reader

DEFAULT_SECONDS = 3600


def get_caller_identity(call: Call) -> dict[str, Any]:
    with call.read() as look:
        user_id = _user_id(look, call.caller)
    return {"UserId": user_id, "Account": call.caller.account, "Arn": call.caller.principal_arn}


def assume_role(call: Call) -> dict[str, Any]:
    """Keys of a session of the role. What would narrow the session (policies, tags) is refused, not ignored."""
    roles.refuse_unsupported(call, "Policy", "PolicyArns", "Tags", "SerialNumber", "TokenCode")
    role_arn, session_name = call.params["RoleArn"], call.params["RoleSessionName"]
    seconds = call.params.get("DurationSeconds", DEFAULT_SECONDS)
    with call.transaction() as tx:
        role_id = roles.id_of(tx, call.rooms.arns, role_arn)
        if role_id is None:
            who = call.caller.principal_arn
            raise errors.AccessDenied(
                f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            )
        keys = access.issue_session(tx, role_arn, session_name, seconds)
    return {
        "Credentials": {
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "SessionToken": keys.session_token,
            "Expiration": keys.expires_at,
        },
        "AssumedRoleUser": {"AssumedRoleId": f"{role_id}:{session_name}", "Arn": keys.principal_arn},
    }


def _user_id(look: Reader, caller: Caller) -> str:
    """The account for the root user, `<role id>:<session>` for a session."""
    principal = parse(caller.principal_arn or "")
    if principal is None or principal.kind != "assumed-role":
        return caller.account
    role_name, _, session_name = principal.name.partition("/")
    row = roles.find(look, role_name)
    return f"{row['id'] if row else role_name}:{session_name}"
