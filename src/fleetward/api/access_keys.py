"""iam: the access keys of users. A secret is shown once, when its key is made."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from fleetward import errors
from fleetward.access import entities, keys, users
from fleetward.access.entities import USER
from fleetward.access.keys import AccessKey
from fleetward.api.call import Call
from fleetward.api.entity_policies import more
from fleetward.api.own_user import user_name
from fleetward.api.paging import page_of
from fleetward.store.tables.access import access_key_uses


def create_access_key(call: Call) -> dict[str, Any]:
    name = user_name(call)
    with call.transaction() as tx:
        key = users.create_key(tx, call.rooms.arns, name)
    return {"AccessKey": {**_shown(name, key), "SecretAccessKey": key.secret}}


def list_access_keys(call: Call) -> dict[str, Any]:
    name = user_name(call)
    with call.read() as look:
        found, marker = page_of(call, keys.keys_of(look, entities.get(look, USER, name)["id"]))
    return {"AccessKeyMetadata": [_shown(name, key) for key in found], **more(marker)}


def update_access_key(call: Call) -> None:
    status = call.params["Status"]
    if status not in ("Active", "Inactive"):
        raise errors.NotImplementedHere(f"Fleetward does not implement the Status {status} of UpdateAccessKey.")
    with call.transaction() as tx:
        key = users.key_of(tx, user_name(call), call.params["AccessKeyId"])
        keys.set_active(tx, key.id, status == "Active")


def delete_access_key(call: Call) -> None:
    with call.transaction() as tx:
        keys.delete(tx, users.key_of(tx, user_name(call), call.params["AccessKeyId"]).id)


def get_access_key_last_used(call: Call) -> dict[str, Any]:
    """Accurate to a minute (keyring.NOTED_EVERY)."""
    key_id = call.params["AccessKeyId"]
    with call.read() as look:
        key = keys.find_key(look, key_id)
        if key is None or key.session_token is not None:
            raise errors.AccessDenied(f"There is no access key {key_id} of this account.")
        name = users.owner_of(look, key)
        use = look.one(sa.select(access_key_uses).where(access_key_uses.c.key_id == key_id))
    if use is None:
        used: dict[str, Any] = {"ServiceName": "N/A", "Region": "N/A"}
    else:
        used = {"LastUsedDate": use["used_at"], "ServiceName": use["service"], "Region": call.rooms.arns.region}
    return {"UserName": name, "AccessKeyLastUsed": used}


def _shown(name: str, key: AccessKey) -> dict[str, Any]:
    return {
        "UserName": name,
        "AccessKeyId": key.id,
        "Status": "Active" if key.active else "Inactive",
        "CreateDate": key.created_at,
    }
