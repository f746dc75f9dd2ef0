"""Pages keep to themselves: what belongs to a page that one session opened takes nothing from another session.

NiceGUI finds a page by its id alone; that it cannot be guessed is not enough for us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from nicegui import Client, core
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fleetward.console.operator import Operator
from fleetward.console.sessions import Session
from fleetward.console.web import OPERATOR

SOCKET = "/_nicegui_ws/"
OF_PAGE = "/_nicegui/client/"

MOST_OPEN = 24
"""Pages that one session has open at a time; one more closes the oldest."""


def keep_apart(pages: ASGIApp) -> ASGIApp:
    """`pages`, where every request that names a page comes from the session that opened it, and every event too."""
    for event in ("event", "javascript_response", "ack"):
        core.sio.on(event, _of_own_page(core.sio.handlers["/"][event]))
    core.sio.on("log", lambda *_: None)  # browsers do not write into the server's log

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not _is_own(scope):
            await _refuse(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return answer


def make_room(session: Session) -> None:
    """Closes the session's oldest pages when it opens more than a person looks at."""
    own = [client for client in Client.instances.values() if _session_of(client) is session]
    for client in own[: max(0, len(own) - MOST_OPEN)]:
        client.delete()


def _is_own(scope: Scope) -> bool:
    """A page that is unknown is NiceGUI's to refuse: the browser then loads it anew."""
    path = scope["path"]
    if SOCKET in path:
        identity = parse_qs(scope["query_string"].decode("latin-1")).get("client_id", [""])[-1]
    elif OF_PAGE in path:
        identity = path.split(OF_PAGE, 1)[1].partition("/")[0]
    else:
        return True
    client = Client.instances.get(identity)
    return bool(identity) and (client is None or _session_of(client) is scope[OPERATOR].session)


def _session_of(client: Client) -> Session | None:
    try:
        operator: Operator = client.request.scope[OPERATOR]
        return operator.session
    except (KeyError, RuntimeError):  # nobody's
        return None


def _of_own_page(handler: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """`handler`, for messages about the page whose connection they come by."""

    def handle(connection: str, message: Any) -> Any:
        if isinstance(message, dict) and message.get("client_id") in core.sio.rooms(connection):
            return handler(connection, message)
        return None

    return handle


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await Response("This page is another session's.", 403, media_type="text/plain")(scope, receive, send)
