"""A topic's subscriptions, and one of them: who hears of which messages."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.forms import Submit, open_form
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import entitle, page

PROTOCOLS = {"email": "Email", "email-json": "Email-JSON", "http": "HTTP", "https": "HTTPS", "lambda": "AWS Lambda"}
ENDPOINTS = {
    "email": "ana@example.com",
    "email-json": "ana@example.com",
    "http": "http://…",
    "https": "https://…",
    "lambda": "the function's name or ARN",
}
SCOPES = {"MessageBody": "the message (a JSON object)", "MessageAttributes": "the message's attributes"}
ONLY_NEW_ALARMS = {"violationEventType": ["in-alarm"]}
PENDING = "PendingConfirmation"
COLUMNS = (
    Column("endpoint", "Endpoint", "link"),
    Column("protocol", "Protocol"),
    Column("status", "Status", "state"),
    Column("mail", "", "link"),
    Column("resend", "", "action"),
)


async def draw(operator: Operator, topic: str, arn: str) -> None:
    may_subscribe = operator.may("sns", "Subscribe", TopicArn=arn)

    async def resend(row: Row) -> None:
        await operator.do("sns", "Subscribe", TopicArn=arn, Protocol=row["code"], Endpoint=row["endpoint"])
        told(f"Another confirmation is on its way to {row['endpoint']}.")

    def shaped(item: dict[str, Any]) -> Row:
        row = _row(topic, item)
        return row if may_subscribe else {**row, "resend": ""}

    with ui.element("div").classes("toolbar section"):
        heading("Subscriptions")
        if may_subscribe:
            create = ui.button("Create subscription", icon="add", on_click=lambda: _create(operator, arn, listing))
            create.props("unelevated no-caps")
    listing: Listing = Listing(
        operator,
        COLUMNS,
        shaped,
        "sns",
        "ListSubscriptionsByTopic",
        "Subscriptions",
        _nobody,
        size=None,
        act=resend,
        TopicArn=arn,
    )
    await listing.show()
    ui.timer(3, listing.refresh, immediate=False)


def _create(operator: Operator, arn: str, listing: Listing) -> None:
    def draw() -> Submit:
        protocol = ui.select(PROTOCOLS, value="email", label="Protocol").props("outlined dense").classes("wide")
        endpoint = ui.input("Endpoint").props("outlined dense autofocus").classes("wide")
        protocol.on_value_change(lambda event: endpoint.props(f'placeholder="{ENDPOINTS[event.value]}"'))

        async def create() -> None:
            target = (endpoint.value or "").strip()
            if protocol.value == "lambda" and target and not target.startswith("arn:"):
                found = await operator.do("lambda", "GetFunction", FunctionName=target)
                target = found["Configuration"]["FunctionArn"]
            answer = await operator.do("sns", "Subscribe", TopicArn=arn, Protocol=protocol.value, Endpoint=target)
            pending = answer["SubscriptionArn"] == "pending confirmation"
            told(f"{target} is to confirm by the link it is sent." if pending else f"{target} is subscribed.")
            await listing.refresh()

        return create

    open_form("Create subscription", "Create subscription", draw)


def _row(topic: str, item: dict[str, Any]) -> Row:
    pending = item["SubscriptionArn"] == PENDING
    by_mail = item["Protocol"].startswith("email")
    endpoint = item["Endpoint"]
    row: Row = {
        "key": f"{item['Protocol']} {endpoint}",
        "endpoint": endpoint,
        "protocol": PROTOCOLS.get(item["Protocol"], item["Protocol"]),
        "code": item["Protocol"],
        "status": "Pending confirmation" if pending else "Confirmed",
        "status_tone": "warn" if pending else "good",
        "resend": "Resend confirmation" if pending else "",
        "mail": "Open its mails" if by_mail else "",
    }
    if by_mail:
        row["mail_href"] = f"/console/outbox?to={quote(endpoint)}"
    if not pending:
        row["endpoint_href"] = f"/console/topics/{topic}/subscriptions/{item['SubscriptionArn'].rpartition(':')[2]}"
    return row


def _nobody() -> None:
    empty("Nobody is subscribed", "Messages reach nobody until an address, a URL or a function is subscribed.", "mail")


# --- one subscription -------------------------------------------------------------------------------------------------


@page("/topics/{topic}/subscriptions/{number}", "Subscription")
async def subscription(operator: Operator, topic: str, number: str) -> None:
    arn = f"{operator.rooms().arns.topic(topic)}:{number}"
    found = (await operator.do("sns", "GetSubscriptionAttributes", SubscriptionArn=arn))["Attributes"]
    entitle(found["Endpoint"])
    with ui.element("dl").classes("facts card"):
        with ui.element("dt"):
            ui.label("Topic")
        with ui.element("dd"):
            ui.link(topic, f"/topics/{topic}")
        for name, value in (("Protocol", PROTOCOLS.get(found["Protocol"], found["Protocol"])), ("ARN", arn)):
            with ui.element("dt"):
                ui.label(name)
            with ui.element("dd"):
                ui.label(value)
    may_change = operator.may("sns", "SetSubscriptionAttributes", SubscriptionArn=arn)
    heading("Filter policy")
    with ui.element("div").classes("card fields"):
        _filter(operator, arn, found, may_change)
    if operator.may("sns", "Unsubscribe", SubscriptionArn=arn):
        leave = ui.button("Unsubscribe", on_click=lambda: _unsubscribe(operator, arn, topic, found["Endpoint"]))
        leave.props("outline no-caps color=negative").classes("section")


def _filter(operator: Operator, arn: str, found: dict[str, str], may_change: bool) -> None:
    ui.label("Only messages that match it are delivered; without one, all are.").classes("quiet")
    scope = ui.select(SCOPES, value=found.get("FilterPolicyScope", "MessageAttributes"), label="It looks at")
    scope.props("outlined dense").classes("wide")
    policy = ui.textarea("Filter policy (JSON)", value=_pretty(found.get("FilterPolicy", "")))
    policy.props("outlined dense input-class=code-input").classes("wide")
    if not may_change:
        scope.disable()
        policy.props("readonly")
        return

    def only_new_alarms() -> None:
        scope.value, policy.value = "MessageBody", json.dumps(ONLY_NEW_ALARMS, indent=2)

    async def save() -> None:
        for name, value in (("FilterPolicyScope", scope.value), ("FilterPolicy", policy.value.strip() or "{}")):
            params = {"SubscriptionArn": arn, "AttributeName": name, "AttributeValue": value}
            await operator.do("sns", "SetSubscriptionAttributes", **params)
        told("The filter policy is saved.")

    with ui.element("div").classes("toolbar"):
        ui.button("Save", on_click=save).props("unelevated no-caps")
        ui.button("Only alarms that begin", on_click=only_new_alarms).props("flat no-caps")


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=2) if text else ""


async def _unsubscribe(operator: Operator, arn: str, topic: str, endpoint: str) -> None:
    if await confirm(f"Unsubscribe {endpoint}?", f"It gets no more messages of {topic}.", "Unsubscribe"):
        await operator.do("sns", "Unsubscribe", SubscriptionArn=arn)
        ui.navigate.to(f"/topics/{topic}")
