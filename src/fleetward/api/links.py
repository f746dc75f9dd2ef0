"""The links in SNS's messages as a person meets them: who clicks one in a browser sees a page, not XML.

Whoever does not ask for HTML gets AWS's answer: programs follow these links too.
"""

from __future__ import annotations

from html import escape

from fleetward.api.request import Request
from fleetward.api.serialise import Response
from fleetward.errors import Refusal

UNSIGNED_ACTIONS = {"ConfirmSubscription": "sns", "Unsubscribe": "sns"}
"""Actions that may be asked for without a signature, by GET: the links in SNS's messages."""

DONE = {
    "ConfirmSubscription": ("Subscription confirmed", "From now on this address gets the messages of the topic"),
    "Unsubscribe": ("Subscription removed", "This address gets no more messages from the topic"),
}

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""The link holds a token: it is kept from other sites and from caches."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: 15vh auto; padding: 0 1rem }}</style>
</head><body><h1>{title}</h1><p>{text}</p></body></html>
"""


def service_of(request: Request) -> str | None:
    """The service that an unsigned request is for; None when a request like it must be signed."""
    return UNSIGNED_ACTIONS.get(_action(request)) if request.method == "GET" else None


def for_person(request: Request, response: Response, refusal: Refusal | None = None) -> Response:
    """`response` to a request without a signature as a page, when a browser asked; else as it is."""
    wanted = request.headers.get("accept", "")
    if service_of(request) is None or "text/html" not in wanted.lower():
        return response
    if refusal is None:
        title, text = DONE[_action(request)]
        text = f"{text} {_topic(request)}."
    else:
        title, text = "This link does not work", f"{refusal.message} ({refusal.code.removesuffix('Exception')})."
    body = PAGE.format(title=escape(title), text=escape(text)).encode(errors="replace")
    return Response(response.status, body, "text/html; charset=utf-8", {**response.headers, **HEADERS})


def _action(request: Request) -> str:
    return request.query_values.get("Action", [""])[-1]


def _topic(request: Request) -> str:
    """The name of the topic in the link: the last part of its ARN, or the last but one of a subscription's."""
    values = request.query_values
    topic, subscription = values.get("TopicArn", [""])[-1], values.get("SubscriptionArn", [""])[-1]
    return (topic or subscription.rpartition(":")[0]).rpartition(":")[2]
