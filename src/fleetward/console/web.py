"""The console's place on the HTTP port: nobody gets past it without a session, and every answer has strict headers.

    strict headers → who is it? → the sign-in page, or NiceGUI with the pages of console/pages

NiceGUI keeps its state in the process, so there is one console a process, however often the house behind it is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Send

from fleetward.api.call import Rooms
from fleetward.console.headers import is_from_elsewhere, strictly
from fleetward.console.operator import Operator
from fleetward.console.sessions import Session, Sessions
from fleetward.console.signin import COOKIE, SignIn

PATH = "/console"
HOME = f"{PATH}/fleet"
SIGN_IN = f"{PATH}/sign-in"
SIGN_OUT = f"{PATH}/sign-out"

OPERATOR = "fleetward.operator"
"""Where a page finds its Operator in the request's scope."""

Scope = MutableMapping[str, Any]


class Console:
    """The ASGI app under /console, until `close`. `rooms` gives those of the house as it is now."""

    def __init__(self, rooms: Callable[[], Rooms]) -> None:
        self._rooms = rooms
        self._sessions = Sessions()
        self._sign_in = SignIn(rooms, self._sessions, HOME)
        self._pages: ASGIApp | None = None
        self._opening = asyncio.Lock()
        self._closing = contextlib.AsyncExitStack()

    async def close(self) -> None:
        await self._closing.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _forget_forwarding(scope)
        app = await self._choose(scope)
        await app(scope, receive, strictly(scope, send))

    async def _choose(self, scope: Scope) -> ASGIApp:
        """What answers: the sign-in page, a way to it, or the pages for who is signed in."""
        http, path = HTTPConnection(scope), scope["path"]
        if is_from_elsewhere(http):
            return _refuse("The request came from another site.")
        if path == SIGN_IN and scope["type"] == "http":
            return self._sign_in
        session = self._session(http)
        if session is None:
            return _to_sign_in(scope)
        if path == SIGN_OUT and scope["type"] == "http":
            return self._sign_out(session)
        if path in (PATH, f"{PATH}/"):
            return RedirectResponse(HOME)
        address = http.client.host if http.client else ""
        scope[OPERATOR] = Operator(self._rooms, self._sessions, session, address, scope["scheme"] in ("https", "wss"))
        return self._pages or await self._open_pages()

    async def _open_pages(self) -> ASGIApp:
        """NiceGUI is loaded for the first who signs in: a server that nobody looks at does without its memory."""
        async with self._opening:
            if self._pages is None:
                from fleetward.console import own_pages, shell

                app = await asyncio.to_thread(shell.build)
                await self._closing.enter_async_context(app.router.lifespan_context(app))
                self._pages = own_pages.keep_apart(app)
        return self._pages

    def _session(self, http: HTTPConnection) -> Session | None:
        token = http.cookies.get(COOKIE)
        return None if token is None else self._sessions.find(token, self._rooms().clock())

    def _sign_out(self, session: Session) -> Response:
        self._sessions.close(session.token)
        response = RedirectResponse(SIGN_IN, 303)
        response.delete_cookie(COOKIE, PATH)
        return response


def is_in_console(scope: Scope) -> bool:
    path = scope.get("path", "")
    return bool(path == PATH or path.startswith(f"{PATH}/"))


def _forget_forwarding(scope: Scope) -> None:
    """Takes away what a proxy would tell of itself: anybody can write it, and NiceGUI puts it into its pages."""
    scope["headers"] = [
        header for header in scope["headers"] if not header[0].startswith((b"x-forwarded", b"forwarded"))
    ]


def _to_sign_in(scope: Scope) -> ASGIApp:
    """A person is led to the sign-in page and back; what a page fetches is refused."""
    if scope["type"] == "http" and scope["method"] == "GET" and "_nicegui" not in scope["path"]:
        return RedirectResponse(f"{SIGN_IN}?next={quote(scope['path'])}", 303)
    return _refuse("Sign in first.")


def _refuse(why: str) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await Response(why, 403, media_type="text/plain")(scope, receive, send)

    return refuse
