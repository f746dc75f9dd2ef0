"""Topics: where alerts are published, who hears of them, and what became of each message."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import topic_deliveries, topic_subscriptions
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.forms import Submit, open_form
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import entitle, page

COLUMNS = (Column("name", "Name", "link"), Column("arn", "ARN", "code"))


COUNTS = {"Confirmed subscriptions": "SubscriptionsConfirmed", "Pending confirmation": "SubscriptionsPending"}
LIVE_SECONDS = 3


@page("/topics", "Topics")
async def topics(operator: Operator) -> None:
    if operator.may("sns", "CreateTopic"):
        with ui.element("div").classes("toolbar"):
            ui.button("Create topic", icon="add", on_click=lambda: _create(operator)).props("unelevated no-caps")
    listing = Listing(operator, COLUMNS, _row, "sns", "ListTopics", "Topics", _nothing, size=None)
    await listing.show()


@page("/topics/{name}", "Topic")
async def topic(operator: Operator, name: str) -> None:
    entitle(name)
    arn = operator.rooms().arns.topic(name)
    found = (await operator.do("sns", "GetTopicAttributes", TopicArn=arn))["Attributes"]
    _toolbar(operator, name, arn)
    with ui.element("dl").classes("facts card"):
        _fact("ARN", arn)
        _fact("Display name", found.get("DisplayName") or "–")
        counts = {title: _fact(title, found[key]) for title, key in COUNTS.items()}

    async def refresh() -> None:
        now = (await operator.do("sns", "GetTopicAttributes", TopicArn=arn))["Attributes"]
        for title, key in COUNTS.items():
            counts[title].set_text(now[key])

    ui.timer(LIVE_SECONDS, refresh, immediate=False)
    await topic_subscriptions.draw(operator, name, arn)
    await topic_deliveries.draw(operator, arn)


def _toolbar(operator: Operator, name: str, arn: str) -> None:
    with ui.element("div").classes("toolbar"):
        if operator.may("sns", "Publish", TopicArn=arn):
            publish = ui.button("Publish message", icon="send", on_click=lambda: _publish(operator, arn))
            publish.props("unelevated no-caps")
        if operator.may("sns", "DeleteTopic", TopicArn=arn):
            delete = ui.button("Delete topic", icon="delete", on_click=lambda: _delete(operator, name, arn))
            delete.props("outline no-caps color=negative")


def _fact(name: str, value: str) -> ui.label:
    with ui.element("dt"):
        ui.label(name)
    with ui.element("dd"):
        return ui.label(value)


def _create(operator: Operator) -> None:
    def draw() -> Submit:
        name = ui.input("Name").props("outlined dense autofocus maxlength=256").classes("wide")
        display = ui.input("Display name (optional, the sender's name in e-mails)").props("outlined dense")
        display.classes("wide")

        async def create() -> None:
            attributes = {"DisplayName": display.value} if display.value else None
            await operator.do("sns", "CreateTopic", Name=name.value.strip(), Attributes=attributes)
            ui.navigate.to(f"/topics/{name.value.strip()}")

        return create

    open_form("Create topic", "Create topic", draw)


def _publish(operator: Operator, arn: str) -> None:
    def draw() -> Submit:
        subject = ui.input("Subject (optional)").props("outlined dense maxlength=100").classes("wide")
        message = ui.textarea("Message", value="A test message").props("outlined dense").classes("wide")

        async def publish() -> None:
            await operator.do(
                "sns", "Publish", TopicArn=arn, Message=message.value, Subject=subject.value.strip() or None
            )
            told("The message is published; the delivery log shows its way.")

        return publish

    open_form("Publish message", "Publish", draw)


async def _delete(operator: Operator, name: str, arn: str) -> None:
    consequence = "Its subscriptions go with it. Security profiles that alert it no longer reach anybody."
    if await confirm(f"Delete the topic {name}?", consequence, "Delete topic"):
        await operator.do("sns", "DeleteTopic", TopicArn=arn)
        ui.navigate.to("/topics")


def _row(item: dict[str, Any]) -> Row:
    arn = item["TopicArn"]
    name = arn.rpartition(":")[2]
    return {"key": arn, "name": name, "name_href": f"/console/topics/{name}", "arn": arn}


def _nothing() -> None:
    empty(
        "No topics yet", "A security profile publishes its alerts to a topic; its subscribers hear of them.", "campaign"
    )
