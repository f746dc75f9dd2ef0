"""fleetward: a function's source, file by file, with what is likely wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page_of
from fleetward.functions import catalog, code, files, lint, names
from fleetward.functions.records import Function


def list_function_files(call: Call) -> dict[str, Any]:
    """The files of the deployment package, by path."""
    _, archive = _stored(call)
    some, token = page_of(call, files.listed(archive))
    return {"files": [{"path": file.path, "size": file.size} for file in some], "nextToken": token}


async def describe_function_file(call: Call) -> dict[str, Any]:
    """The text of one file, and the revision of the function that it belongs to."""
    function, archive = _stored(call)
    text = await asyncio.to_thread(files.text, archive, call.params["path"])
    return await _shown(call, function, text)


async def update_function_file(call: Call) -> dict[str, Any]:
    """Changes one file of the deployment package; what is likely wrong with it is told, and does not hinder."""
    function, archive = _stored(call)
    if call.params.get("revisionId") not in (None, function.revision_id):
        raise errors.PreconditionFailed("The function was changed meanwhile: open it again to see what it is now.")
    made = await asyncio.to_thread(files.replaced, archive, call.params["path"], call.params["text"])
    await asyncio.to_thread(code.check, made)
    with call.transaction() as tx:
        changed = catalog.update_code(tx, function.name, made, function.revision_id)
    return await _shown(call, changed, call.params["text"])


def _stored(call: Call) -> tuple[Function, bytes]:
    name = names.resolve(call.rooms.arns, call.params["functionName"])
    with call.read() as look:
        function = catalog.get(look, name)
        return function, catalog.archive(look, function)


async def _shown(call: Call, function: Function, text: str) -> dict[str, Any]:
    path = call.params["path"]
    found = await asyncio.to_thread(lint.warnings_of, text) if path.endswith(".py") else []
    return {
        "path": path,
        "text": text,
        "revisionId": function.revision_id,
        "warnings": [{"line": one.line, "text": one.text} for one in found],
    }
