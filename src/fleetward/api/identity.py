"""sts: who am I, and short-lived keys for a role or for oneself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetward import errors
from fleetward.access import documents, entities, keys, managed
from fleetward.access.authorizer import Origin
from fleetward.access.entities import ROLE
from fleetward.access.keys import AccessKey
from fleetward.access.principals import Kind, principal_of
from fleetward.access.requirements import Requirement
from fleetward.access.trust import ASSUME
from fleetward.api.call import Call
from fleetward.store.database import Reader

DEFAULT_SECONDS = 3600
CHAINED_SECONDS = 3600
"""The longest session of a role that a role's session assumes (IAM user guide, "Role chaining")."""
USER_SECONDS = 43_200
ROOT_SECONDS = 3600
"""GetSessionToken's default for users, and its maximum for the root user (STS API reference)."""

MAX_SESSION_POLICY = 2048
MAX_SESSION_ARNS = 10


def get_caller_identity(call: Call) -> dict[str, Any]:
    user_id = call.rooms.authorizer.user_id(_key(call))
    return {"UserId": user_id, "Account": call.caller.account, "Arn": call.caller.principal_arn}


def get_access_key_info(call: Call) -> dict[str, Any]:
    with call.read() as look:
        if keys.find_key(look, call.params["AccessKeyId"]) is None:
            raise errors.Validation("There is no such access key in this account.")
    return {"Account": call.rooms.arns.account}


# --- a role's session -------------------------------------------------------------------------------------------------


def assume_role(call: Call) -> dict[str, Any]:
    """Keys of a session of the role, narrowed by the session's own policies."""
    params, authorizer, key = call.params, call.rooms.authorizer, _key(call)
    role_arn, session_name = params["RoleArn"], params["RoleSessionName"]
    with call.transaction() as tx:
        role = authorizer.role(tx, role_arn)
        context = authorizer.context(key, Origin(call.now, call.peer, call.secure))
        authorizer.check_assume(key, role, Requirement(ASSUME, role_arn, _trust_keys(params)), context)
        assert role is not None, "nobody may assume a role that does not exist"
        seconds = params.get("DurationSeconds", DEFAULT_SECONDS)
        longest = entities.get(tx, ROLE, role_arn.rsplit("/", 1)[-1])["max_session_seconds"]
        _check_duration(key, seconds, longest)
        made = keys.issue_session(tx, role_arn, session_name, seconds, role.id, _session_policies(call, tx))
    return {
        "Credentials": _credentials(made),
        "AssumedRoleUser": {"AssumedRoleId": f"{role.id}:{session_name}", "Arn": made.principal_arn},
        "PackedPolicySize": _packed_size(made),
    }


def _trust_keys(params: Mapping[str, Any]) -> dict[str, str]:
    found = {"sts:RoleSessionName": params["RoleSessionName"]}
    if "ExternalId" in params:
        found["sts:ExternalId"] = params["ExternalId"]
    return found


def _check_duration(key: AccessKey, seconds: int, longest: int) -> None:
    principal = principal_of(key.principal_arn)
    if principal is not None and principal.kind is Kind.ROLE and seconds > CHAINED_SECONDS:
        raise errors.Validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    if seconds > longest:
        raise errors.Validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")


def _session_policies(call: Call, look: Reader) -> list[str] | None:
    """The document and the ARNs that narrow the session; None when neither is given."""
    arns = [one["arn"] for one in call.params.get("PolicyArns", ())]
    text = call.params.get("Policy")
    if text is None and not arns:
        return None
    if len(arns) > MAX_SESSION_ARNS:
        raise errors.Validation(f"At most {MAX_SESSION_ARNS} managed policies can narrow a session.")
    for arn in arns:
        if managed.find(look, arn) is None:
            raise errors.MalformedPolicyDocument(f"The policy {arn} does not exist.")
    if text is None:
        return arns
    if documents.size_of(text) > MAX_SESSION_POLICY:
        raise errors.PackedPolicyTooLarge(f"A session policy has at most {MAX_SESSION_POLICY} characters.")
    documents.check(text)
    return [text, *arns]


def _packed_size(made: AccessKey) -> int | None:
    """Per cent of the room for session policies that is used."""
    if made.session_policies is None:
        return None
    return -(-100 * sum(map(len, made.session_policies)) // (MAX_SESSION_POLICY * 2))


# --- a session of one's own -------------------------------------------------------------------------------------------


def get_session_token(call: Call) -> dict[str, Any]:
    """Short-lived keys for a user, or for the root user, who may have them for an hour."""
    key = _key(call)
    if key.session_token is not None:
        raise errors.AccessDenied("Cannot call GetSessionToken with session credentials")
    seconds = call.params.get("DurationSeconds", USER_SECONDS)
    if key.principal_arn == call.rooms.arns.root:
        seconds = min(seconds, ROOT_SECONDS)
    with call.transaction() as tx:
        return {"Credentials": _credentials(keys.issue_user_session(tx, key, seconds))}


def _credentials(made: AccessKey) -> dict[str, Any]:
    return {
        "AccessKeyId": made.id,
        "SecretAccessKey": made.secret,
        "SessionToken": made.session_token,
        "Expiration": made.expires_at,
    }


def _key(call: Call) -> AccessKey:
    key = call.caller.key
    assert key is not None, "sts serves nobody without a key"
    return key
