"""The words of this room as frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from fleetward.model import Millis

Clock: TypeAlias = Callable[[], Millis]

MAX_SYNC_PAYLOAD = 6 * 1024 * 1024
MAX_ASYNC_PAYLOAD = 1024 * 1024
MAX_RESPONSE = 6_291_556
"""Bytes of a response (AWS's number, in the text of its error)."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function's configuration. `timeout` in seconds, `memory_size` in MiB, `code_sha256` in base64."""

    name: str
    runtime: str
    handler: str
    role: str
    code_sha256: str
    code_size: int
    revision_id: str
    modified_at: Millis
    description: str = ""
    timeout: int = 3
    memory_size: int = 128
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Short-lived keys of a function's role."""

    id: str
    secret: str
    token: str
    expires_at: Millis


@dataclass(frozen=True, slots=True)
class Event:
    """One invocation as the Runtime API hands it out. `deadline` in epoch ms."""

    request_id: str
    payload: bytes
    deadline: Millis
    client_context: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function made of an event. `error_type` is set when `payload` is an error document."""

    payload: bytes
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """`function_error` is AWS's X-Amz-Function-Error ("Unhandled") or None; `log_tail` the last 4 KiB of its log."""

    status: int
    payload: bytes
    function_error: str | None = None
    log_tail: bytes = b""
    request_id: str = ""

    @property
    def error(self) -> str | None:
        """One line for people: `NameError: name 'os' is not defined`."""
        if self.function_error is None:
            return None
        try:
            document = json.loads(self.payload)
            parts = [str(document[key]) for key in ("errorType", "errorMessage") if document.get(key)]
        except (ValueError, AttributeError):
            parts = []
        return ": ".join(parts) or self.function_error


class InvocationStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def failure(error_type: str, message: str, request_id: str = "") -> Answer:
    """An error document as the Lambda service itself writes it."""
    document = {"errorType": error_type, "errorMessage": _of_request(request_id) + message}
    return Answer(json.dumps(document).encode(), error_type)


def with_request_id(answer: Answer, request_id: str) -> Answer:
    """What went wrong before the process took the event does not know the request it failed: it gets its id here."""
    if answer.error_type is None:
        return answer
    try:
        document = json.loads(answer.payload)
    except ValueError:
        return answer
    if not isinstance(document, dict):
        return answer
    message = str(document.get("errorMessage", ""))
    if message.startswith(_of_request("")):
        document["errorMessage"] = _of_request(request_id) + message.removeprefix(_of_request(""))
    elif document.get("requestId") == "":
        document["requestId"] = request_id
    else:
        return answer
    return Answer(json.dumps(document).encode(), answer.error_type)


def _of_request(request_id: str) -> str:
    return f"RequestId: {request_id} Error: "
