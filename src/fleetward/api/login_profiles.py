"""iam: the passwords with which users sign in to the console."""

from __future__ import annotations

from typing import Any

from fleetward import errors
from fleetward.access import login_profiles as rules
from fleetward.access.login_profiles import LoginProfile
from fleetward.api.call import Call
from fleetward.api.own_user import user_name


def create_login_profile(call: Call) -> dict[str, Any]:
    name, password = user_name(call), call.params.get("Password")
    if password is None:
        raise errors.Validation("Fleetward does not implement CreateLoginProfile without Password.")
    must_change = call.params.get("PasswordResetRequired", False)
    with call.transaction() as tx:
        profile = rules.create(tx, call.rooms.arns, name, password, must_change)
    return {"LoginProfile": _shown(profile)}


def get_login_profile(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return {"LoginProfile": _shown(rules.get(look, call.rooms.arns, user_name(call)))}


def update_login_profile(call: Call) -> None:
    password, must_change = call.params.get("Password"), call.params.get("PasswordResetRequired")
    with call.transaction() as tx:
        rules.update(tx, call.rooms.arns, call.params["UserName"], password, must_change)


def delete_login_profile(call: Call) -> None:
    with call.transaction() as tx:
        rules.delete(tx, call.rooms.arns, user_name(call))


def change_password(call: Call) -> None:
    """The caller's own; who knows the old one may set a new one."""
    name, arns = user_name(call), call.rooms.arns
    with call.read() as look:
        profile = rules.get(look, arns, name)
    if not rules.matches(profile, call.params["OldPassword"]):
        raise errors.AccessDenied("The old password was incorrect.")
    with call.transaction() as tx:
        rules.update(tx, arns, name, call.params["NewPassword"], must_change=False)


def _shown(profile: LoginProfile) -> dict[str, Any]:
    return {
        "UserName": profile.user_name,
        "CreateDate": profile.created_at,
        "PasswordResetRequired": profile.must_change,
    }
