"""iam: the passwords with which users sign in to the console."""

from __future__ import annotations

import asyncio
from typing import Any

from fleetward import errors
from fleetward.access import login_profiles as rules
from fleetward.access.login_profiles import LoginProfile
from fleetward.api.call import Call
from fleetward.api.own_user import user_name

INCORRECT = "The old password was incorrect."


async def create_login_profile(call: Call) -> dict[str, Any]:
    name, password = user_name(call), call.params.get("Password")
    if password is None:
        raise errors.Validation("Fleetward does not implement CreateLoginProfile without Password.")
    must_change = call.params.get("PasswordResetRequired", False)
    hash = await asyncio.to_thread(rules.accepted, password, name)
    with call.transaction() as tx:
        profile = rules.create(tx, call.rooms.arns, name, hash, must_change)
    return {"LoginProfile": _shown(profile)}


def get_login_profile(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return {"LoginProfile": _shown(rules.get(look, call.rooms.arns, user_name(call)))}


async def update_login_profile(call: Call) -> None:
    name, must_change = call.params["UserName"], call.params.get("PasswordResetRequired")
    password = call.params.get("Password")
    hash = None if password is None else await asyncio.to_thread(rules.accepted, password, name)
    with call.transaction() as tx:
        rules.update(tx, call.rooms.arns, name, hash, must_change)


def delete_login_profile(call: Call) -> None:
    with call.transaction() as tx:
        rules.delete(tx, call.rooms.arns, user_name(call))


async def change_password(call: Call) -> None:
    """The caller's own; who knows the old one may set a new one."""
    name, arns = user_name(call), call.rooms.arns
    with call.read() as look:
        profile = rules.get(look, arns, name)
    if not await asyncio.to_thread(rules.matches, profile, call.params["OldPassword"]):
        raise errors.AccessDenied(INCORRECT)
    hash = await asyncio.to_thread(rules.accepted, call.params["NewPassword"], name)
    with call.transaction() as tx:
        if rules.get(tx, arns, name) != profile:  # somebody else changed it meanwhile
            raise errors.AccessDenied(INCORRECT)
        rules.update(tx, arns, name, hash, must_change=False)


def _shown(profile: LoginProfile) -> dict[str, Any]:
    return {
        "UserName": profile.user_name,
        "CreateDate": profile.created_at,
        "PasswordResetRequired": profile.must_change,
    }
