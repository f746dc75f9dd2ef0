"""lambda: functions, their code and configuration, calling them, and who may."""

from __future__ import annotations

import asyncio
import base64
import json
import platform
from datetime import UTC, datetime
from typing import Any

from fleetward import errors
from fleetward.access.service_roles import check_function_role
from fleetward.api.call import Call
from fleetward.api.paging import page_after
from fleetward.functions import catalog, code, names, permissions
from fleetward.functions.records import Function
from fleetward.functions.worker import log_group
from fleetward.model import Millis
from fleetward.registry import tags
from fleetward.store.database import Reader

_OTHER_SOURCES = ("S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode", "ImageUri", "SourceKMSKeyArn")
_ARCHITECTURES = {"aarch64": "arm64", "arm64": "arm64"}

# --- making and changing ----------------------------------------------------------------------------------------------


async def create_function(call: Call) -> dict[str, Any]:
    params = call.params
    name = names.resolve(call.rooms.arns, params["FunctionName"])
    archive = await _archive(params["Code"])
    for required in ("Runtime", "Handler"):
        if not params.get(required):
            raise errors.InvalidParameterValue(f"{required} is mandatory for functions created with a zip archive.")
    with call.transaction() as tx:
        _check_role(call, tx, params["Role"])
        function = catalog.create(
            tx,
            name,
            archive,
            runtime=params["Runtime"],
            handler=params["Handler"],
            role=params["Role"],
            **_options(params),
        )
        tags.put(tx, call.rooms.arns.function(name), params.get("Tags", {}))
    return _shown(call, function)


async def update_function_code(call: Call) -> dict[str, Any]:
    name = _name(call)
    archive = await _archive(call.params)
    if call.params.get("DryRun"):
        with call.read() as look:
            return _shown(call, catalog.get(look, name))
    with call.transaction() as tx:
        return _shown(call, catalog.update_code(tx, name, archive, call.params.get("RevisionId")))


def update_function_configuration(call: Call) -> dict[str, Any]:
    params = call.params
    options = _options(params) | {key.lower(): params.get(key) for key in ("Runtime", "Handler", "Role")}
    with call.transaction() as tx:
        if params.get("Role"):
            _check_role(call, tx, params["Role"])
        return _shown(call, catalog.update_configuration(tx, _name(call), params.get("RevisionId"), **options))


def delete_function(call: Call) -> dict[str, Any]:
    name = _name(call)
    with call.transaction() as tx:
        catalog.delete(tx, name)
        tags.forget(tx, call.rooms.arns.function(name))
    return {"StatusCode": 204}


async def _archive(source: dict[str, Any]) -> bytes:
    if any(source.get(name) for name in _OTHER_SOURCES) or "ZipFile" not in source:
        raise errors.InvalidParameterValue(
            f"Please provide the code as ZipFile; Fleetward reads no other source ({', '.join(_OTHER_SOURCES)})."
        )
    archive: bytes = source["ZipFile"]
    await asyncio.to_thread(code.check, archive)
    return archive


def _check_role(call: Call, look: Reader, role_arn: str) -> None:
    check_function_role(call.rooms.authorizer, look, role_arn, call.now)


def _options(params: dict[str, Any]) -> dict[str, Any]:
    environment = params.get("Environment")
    return {
        "description": params.get("Description"),
        "timeout": params.get("Timeout"),
        "memory_size": params.get("MemorySize"),
        "environment": environment.get("Variables", {}) if environment is not None else None,
    }


# --- looking ----------------------------------------------------------------------------------------------------------


def get_function(call: Call) -> dict[str, Any]:
    with call.read() as look:
        function = catalog.get(look, _name(call))
        own = tags.of(look, call.rooms.arns.function(function.name))
    return {"Configuration": _shown(call, function), "Code": {"RepositoryType": "S3"}, "Tags": own or None}


def get_function_configuration(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return _shown(call, catalog.get(look, _name(call)))


def list_functions(call: Call) -> dict[str, Any]:
    with call.read() as look:
        functions, marker = page_after(
            call, lambda limit, after: catalog.by_name(look, limit, after), lambda function: function.name
        )
    return {"Functions": [_shown(call, function) for function in functions], "NextMarker": marker}


def _name(call: Call) -> str:
    return names.resolve(call.rooms.arns, call.params["FunctionName"], call.params.get("Qualifier"))


def _shown(call: Call, function: Function) -> dict[str, Any]:
    """FunctionConfiguration."""
    return {
        "FunctionName": function.name,
        "FunctionArn": call.rooms.arns.function(function.name),
        "Runtime": function.runtime,
        "Role": function.role,
        "Handler": function.handler,
        "CodeSize": function.code_size,
        "CodeSha256": function.code_sha256,
        "Description": function.description,
        "Timeout": function.timeout,
        "MemorySize": function.memory_size,
        "LastModified": _last_modified(function.modified_at),
        "Version": names.LATEST,
        "Environment": {"Variables": dict(function.environment)} if function.environment else None,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": function.revision_id,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [_ARCHITECTURES.get(platform.machine(), "x86_64")],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": log_group(function.name)},
    }


def _last_modified(moment: Millis) -> str:
    return f"{datetime.fromtimestamp(moment // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{moment % 1000:03d}+0000"


# --- calling ----------------------------------------------------------------------------------------------------------


async def invoke(call: Call) -> dict[str, Any]:
    name = _name(call)
    payload = call.params.get("Payload") or b"{}"
    await _check_payload(payload)
    kind = call.params.get("InvocationType", "RequestResponse")
    if kind != "RequestResponse":  # a call finds out by itself
        with call.read() as look:
            catalog.get(look, name)
    if kind == "DryRun":
        return {"StatusCode": 204}
    if kind == "Event":
        with call.transaction() as tx:
            call.rooms.functions.enqueue(tx, name, payload, "api", call.request_id)
        return {"StatusCode": 202}
    result = await call.rooms.functions.invoke(name, payload, client_context=_client_context(call))
    wants_tail = call.params.get("LogType") == "Tail"
    return {
        "StatusCode": result.status,
        "FunctionError": result.function_error,
        "ExecutedVersion": names.LATEST,
        "LogResult": base64.b64encode(result.log_tail).decode() if wants_tail else None,
        "Payload": result.payload,
    }


async def _check_payload(payload: bytes) -> None:
    try:
        await asyncio.to_thread(json.loads, payload) if len(payload) > 65536 else json.loads(payload)
    except (ValueError, RecursionError) as problem:
        raise errors.InvalidRequestContent(f"Could not parse request body into json: {problem}") from problem


def _client_context(call: Call) -> str:
    """The client's context as JSON on one line, fit for a header."""
    given = call.params.get("ClientContext")
    if not given:
        return ""
    try:
        return json.dumps(json.loads(base64.b64decode(given)))
    except (ValueError, RecursionError) as problem:
        raise errors.InvalidRequestContent("Client context must be a valid Base64-encoded JSON object.") from problem


# --- who may ----------------------------------------------------------------------------------------------------------


def add_permission(call: Call) -> dict[str, Any]:
    params = call.params
    with call.transaction() as tx:
        _check_revision(call, tx)
        statement = permissions.add(
            tx,
            call.rooms.arns,
            _name(call),
            params["StatementId"],
            action=params["Action"],
            principal=params["Principal"],
            source_arn=params.get("SourceArn"),
            source_account=params.get("SourceAccount"),
        )
    return {"Statement": json.dumps(statement)}


def remove_permission(call: Call) -> None:
    with call.transaction() as tx:
        _check_revision(call, tx)
        permissions.remove(tx, _name(call), call.params["StatementId"])


def get_policy(call: Call) -> dict[str, Any]:
    with call.read() as look:
        function = catalog.get(look, _name(call))
        statements = permissions.statements(look, function.name)
    if not statements:
        raise errors.ResourceNotFound("The resource you requested does not exist.")
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return {"Policy": json.dumps(policy), "RevisionId": function.revision_id}


def _check_revision(call: Call, look: Reader) -> None:
    catalog.check_revision(catalog.get(look, _name(call)), call.params.get("RevisionId"))


# --- tags -------------------------------------------------------------------------------------------------------------


def list_tags(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return {"Tags": tags.of(look, _tagged(call, look))}


def tag_resource(call: Call) -> None:
    with call.transaction() as tx:
        tags.put(tx, _tagged(call, tx), call.params["Tags"])


def untag_resource(call: Call) -> None:
    with call.transaction() as tx:
        tags.remove(tx, _tagged(call, tx), call.params["TagKeys"])


def _tagged(call: Call, look: Reader) -> str:
    name = names.resolve(call.rooms.arns, call.params["Resource"])
    return call.rooms.arns.function(catalog.get(look, name).name)
