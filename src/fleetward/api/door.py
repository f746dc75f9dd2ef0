"""The AWS door: one HTTP endpoint for every service we speak.

    read the signature's claim → check clock, region and key → read the body → verify → find the operation →
    parse → validate → authorise → the operation itself → serialise

Whatever goes wrong on the way becomes the error that AWS's own service would send (faults.py), with a request id.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cache
from typing import Any

import structlog
from botocore.model import OperationModel
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from fleetward import errors
from fleetward.access.authorizer import Origin
from fleetward.api import faults, links, models, operations, signature
from fleetward.api.call import Call, Caller, Rooms
from fleetward.api.intake import ClientGone, Intake
from fleetward.api.models import Service
from fleetward.api.parse import parse
from fleetward.api.request import Request, from_scope
from fleetward.api.serialise import Response, serialise
from fleetward.api.signature import Claim
from fleetward.api.unsupported import refuse_unsupported
from fleetward.api.validate import breaches, require, validate

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Message, Receive, Send], Awaitable[None]]
Page = Callable[[], Response]

DECIDED_BY_RESOURCE = frozenset({("sts", "AssumeRole")})
"""Operations that ask the authorizer themselves, together with the policy of the resource they are about."""

BIG_BODY = 1024 * 1024
"""Bytes from which hashing and parsing a body is left to a thread."""

log = structlog.get_logger()

REQUESTS = Counter("fleetward_api_requests", "Requests answered by the AWS door.", ("service", "operation", "status"))
SECONDS = Histogram("fleetward_api_seconds", "Seconds the AWS door took to answer.", ("service",))
_requests, _seconds = cache(REQUESTS.labels), cache(SECONDS.labels)
"""Finding a metric by its labels costs more than counting; there are as many as operations and statuses."""


def make_door(rooms: Rooms, pages: Mapping[str, Page] | None = None) -> ASGIApp:
    """The ASGI app. `pages` are further paths that are answered by GET without a signature."""
    return Door(rooms, {"/health": health, "/metrics": metrics, **(pages or {})})


def health() -> Response:
    return Response(200, b'{"status":"ok"}')


def metrics() -> Response:
    return Response(200, generate_latest(), CONTENT_TYPE_LATEST)


def authorise(call: Call) -> None:
    """Has the caller's policies decide whether it may do what it asks for (access/authorizer.py).

    A caller without a key gets only as far as links.UNSIGNED_ACTIONS let it. Raises errors.AccessDenied.
    """
    key, name = call.caller.key, call.operation.name
    if key is not None:
        if (call.service, name) not in DECIDED_BY_RESOURCE:
            request = Origin(call.now, call.peer, call.secure)
            call.rooms.authorizer.authorise(key, call.service, name, call.params, request)
    elif links.UNSIGNED_ACTIONS.get(name) != call.service:
        raise errors.AccessDenied(f"Nobody may call {name} without a signature.")


class Door:
    """Answers HTTP requests; each on its own, nothing is kept between them but the bodies half received."""

    def __init__(self, rooms: Rooms, pages: Mapping[str, Page]) -> None:
        self._rooms = rooms
        self._pages = pages
        self._intake = Intake()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return
        request = from_scope(scope)
        try:
            response = self._page(request) or await self._answer(request, receive)
        except ClientGone:
            return
        await _send(send, response)

    def _page(self, request: Request) -> Response | None:
        page = self._pages.get(request.path)
        if page is None or request.method not in ("GET", "HEAD") or "authorization" in request.headers:
            return None
        return page()

    async def _answer(self, request: Request, receive: Receive) -> Response:
        """The response to an AWS request, whatever becomes of it."""
        started = time.perf_counter()
        request_id = str(uuid.uuid4())
        service: Service | None = None
        claim: Claim | None = None
        refused: errors.Refusal | None = None
        operation = ""
        try:
            claim = signature.read(request)
            service = models.signed_for(claim.service) if claim else _unsigned_service(request)
            call = await self._admit(service, claim, request, receive, request_id)
            operation = call.operation.name
            response = await _carry_out(call)
        except errors.Refusal as refusal:
            refused = refusal
            response = faults.render(refusal, service, request, request_id)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception:
            log.exception(
                "request failed", request_id=request_id, service=service and service.name, operation=operation
            )
            refused = errors.Refusal(f"Something went wrong here; the server's log tells it under {request_id}.")
            response = faults.render(refused, service, request, request_id)
        if claim is None:
            response = links.for_person(request, response, refused)
        name = service.name if service else ""
        _requests(name, operation, response.status).inc()
        _seconds(name).observe(time.perf_counter() - started)
        return response

    async def _admit(
        self, service: Service, claim: Claim | None, request: Request, receive: Receive, request_id: str
    ) -> Call:
        """The call that a request makes, once its signature is verified and its parameters are understood.

        What can be refused without the body is refused before it is read.
        """
        rooms = self._rooms
        caller, secret = Caller(None, rooms.arns.account), ""
        if claim is not None:
            now = rooms.clock()
            signature.check(claim, rooms.arns.region, now)
            key = rooms.keys.holder_of(claim.key_id, claim.token, now)
            caller, secret = Caller(key.principal_arn, rooms.arns.account, key.id, key), key.secret
            request.body = await self._intake.read(receive, request, service.name)
        if len(request.body) < BIG_BODY:
            operation, params, broken = _understand(service, claim, secret, request)
        else:
            operation, params, broken = await asyncio.to_thread(_understand, service, claim, secret, request)
        if caller.key is not None:
            rooms.keys.note_use(caller.key, service.name, rooms.clock())
        return Call(rooms, operation, params, caller, rooms.clock(), request_id, request.peer, request.secure, broken)


Understood = tuple[OperationModel, dict[str, Any], tuple[str, ...]]


def _understand(service: Service, claim: Claim | None, secret: str, request: Request) -> Understood:
    """Verifies the signature, then reads and validates the parameters: operation, parameters, breaches."""
    if claim is not None:
        signature.verify(claim, request, secret)
    operation, labels = service.operation_of(request)
    if operations.find(service.name, operation.name) is None:
        raise errors.NotImplementedHere(f"Fleetward does not implement {operation.name} of {service.name}.")
    params = parse(operation, request, labels)
    if (service.name, operation.name) in operations.LENIENT:
        require(operation, params)
        return operation, params, tuple(breaches(operation, params))
    validate(operation, params)
    return operation, params, ()


async def _carry_out(call: Call) -> Response:
    authorise(call)
    refuse_unsupported(call.service, call.operation.name, call.params)
    operation = operations.find(call.service, call.operation.name)
    assert operation is not None, "only served operations get this far"
    result = operation(call)
    if isinstance(result, Awaitable):
        result = await result
    response = serialise(call.operation, result, call.request_id)
    response.headers.update(call.headers)
    return response


def _unsigned_service(request: Request) -> Service:
    """The service of a request without a signature; almost always a refusal."""
    name = links.service_of(request)
    if name is not None:
        return models.service(name)
    raise errors.MissingAuthenticationToken("Missing Authentication Token")


async def _send(send: Send, response: Response) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers.items()]
    headers.append((b"content-length", str(len(response.body)).encode()))
    if response.body:
        headers.append((b"content-type", response.content_type.encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
