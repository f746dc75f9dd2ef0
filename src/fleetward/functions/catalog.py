"""The functions in the store: what AWS's Create, Update, Get, List and Delete do to them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.errors import InvalidParameterValue, PreconditionFailed, ResourceConflict, ResourceNotFound
from fleetward.functions import code
from fleetward.functions.records import Function
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.functions import function_code, functions

_RUNTIME = re.compile(r"python3\.\d{1,2}")
_ENVIRONMENT_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_ENVIRONMENT_BYTES = 4096
_RANGES = {"timeout": range(1, 901), "memory_size": range(128, 10241)}

RESERVED_ENVIRONMENT = frozenset(
    [
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    ]
)


def create(
    tx: Transaction, name: str, archive: bytes, *, runtime: str, handler: str, role: str, **options: Any
) -> Function:
    """`archive` has passed `code.check`. `options`: description, timeout, memory_size, environment."""
    if find(tx, name) is not None:
        raise ResourceConflict(f"Function already exist: {name}")
    values = {"description": "", "timeout": 3, "memory_size": 128, "environment": {}, **_given(options)}
    values |= {"name": name, "runtime": runtime, "handler": handler, "role": role}
    _check(values)
    values |= _keep_code(tx, archive) | _stamp(tx)
    tx.execute(sa.insert(functions).values(values))
    tx.touch("function", name)
    return get(tx, name)


def update_code(tx: Transaction, name: str, archive: bytes, revision: str | None = None) -> Function:
    return _update(tx, name, _keep_code(tx, archive), revision)


def update_configuration(tx: Transaction, name: str, revision: str | None = None, **options: Any) -> Function:
    """`options` as for `create`, and runtime, handler and role; what is None stays as it is."""
    _check(_given(options))
    return _update(tx, name, _given(options), revision)


def delete(tx: Transaction, name: str) -> None:
    get(tx, name)
    tx.execute(sa.delete(functions).where(functions.c.name == name))
    _forget_unused_code(tx)
    tx.touch("function", name)


def get(look: Reader, name: str) -> Function:
    function = find(look, name)
    if function is None:
        raise ResourceNotFound(f"Function not found: {name}")
    return function


def find(look: Reader, name: str) -> Function | None:
    row = look.one(sa.select(functions).where(functions.c.name == name))
    return _function(row) if row is not None else None


def by_name(look: Reader, limit: int, after: str | None = None) -> Sequence[Function]:
    """At most `limit` of those whose names come after one (None: the first)."""
    wanted = sa.select(functions).order_by(functions.c.name).limit(limit)
    if after is not None:
        wanted = wanted.where(functions.c.name > after)
    return [_function(row) for row in look.all(wanted)]


def archive(look: Reader, function: Function) -> bytes:
    """The zip of the function's code."""
    query = sa.select(function_code.c.archive).where(function_code.c.sha256 == function.code_sha256)
    return bytes(look.scalar(query))


def check_revision(function: Function, revision: str | None) -> None:
    """Refuses a change by someone who has seen another revision than the current one."""
    if revision not in (None, function.revision_id):
        raise PreconditionFailed(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        )


# --- inside -----------------------------------------------------------------------------------------------------------


def _update(tx: Transaction, name: str, values: Mapping[str, Any], revision: str | None) -> Function:
    check_revision(get(tx, name), revision)
    tx.execute(sa.update(functions).where(functions.c.name == name).values({**values, **_stamp(tx)}))
    _forget_unused_code(tx)
    tx.touch("function", name)
    return get(tx, name)


def _check(values: Mapping[str, Any]) -> None:
    runtime = values.get("runtime")
    if runtime is not None and not _RUNTIME.fullmatch(runtime):
        raise InvalidParameterValue(
            f"The runtime parameter of {runtime} is not supported here: choose a python3.x runtime."
        )
    for key, allowed in _RANGES.items():
        if key in values and values[key] not in allowed:
            text = f"'{values[key]}' at '{key}' must be between {allowed.start} and {allowed.stop - 1}"
            raise InvalidParameterValue(text)
    _check_environment(values.get("environment") or {})


def _check_environment(variables: Mapping[str, str]) -> None:
    unable = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
    )
    reserved = sorted(RESERVED_ENVIRONMENT & set(variables))
    if reserved:
        raise InvalidParameterValue(
            f"{unable} contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    if sum(len(name.encode()) + len(value.encode()) for name, value in variables.items()) > _ENVIRONMENT_BYTES:
        raise InvalidParameterValue(f"{unable} exceeded the 4KB limit.")
    for name, value in variables.items():
        if not _ENVIRONMENT_NAME.fullmatch(name) or "\0" in value:
            raise InvalidParameterValue(f"{unable} contains a key or value that no process can have: {name}")


def _keep_code(tx: Transaction, archive: bytes) -> dict[str, Any]:
    digest = code.sha256(archive)
    if tx.one(sa.select(function_code.c.sha256).where(function_code.c.sha256 == digest)) is None:
        tx.execute(sa.insert(function_code).values(sha256=digest, archive=archive, created_at=tx.now))
    return {"code_sha256": digest, "code_size": len(archive)}


def _forget_unused_code(tx: Transaction) -> None:
    tx.execute(sa.delete(function_code).where(function_code.c.sha256.not_in(sa.select(functions.c.code_sha256))))


def _stamp(tx: Transaction) -> dict[str, Any]:
    return {"revision_id": str(uuid.uuid4()), "modified_at": tx.now}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _function(row: RowMapping) -> Function:
    return Function(**row)
