"""What sets a function off: topics and schedules."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.forms import Submit, looked_up, open_form
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told

SOURCES = {"sns": "SNS", "events": "EventBridge (a schedule)"}
PRINCIPALS = {"sns": "sns.amazonaws.com", "events": "events.amazonaws.com"}
TARGET = "function"
COLUMNS = (
    Column("source", "Source"),
    Column("name", "Name", "link"),
    Column("when", "When"),
    Column("state", "State", "state"),
    Column("problem", "Problem"),
    Column("remove", "", "action"),
)


async def draw(operator: Operator, name: str) -> None:
    may = operator.may("lambda", "AddPermission", FunctionName=name)

    async def remove(row: Row) -> None:
        if await confirm(f"Remove the trigger {row['name']}?", f"It no longer sets {name} off.", "Remove"):
            await _remove(operator, name, row)
            await listing.refresh()

    def shaped(trigger: dict[str, Any]) -> Row:
        row = _row(trigger)
        return row if may else {**row, "remove": ""}

    with ui.element("div").classes("toolbar section"):
        heading("Designer")
        if may:
            ui.button("Add trigger", icon="add", on_click=lambda: _add(operator, name, listing)).props(
                "unelevated no-caps"
            )
    listing: Listing = Listing(
        operator,
        COLUMNS,
        shaped,
        "fleetward",
        "ListFunctionTriggers",
        "triggers",
        _nothing,
        act=remove,
        functionName=name,
    )
    await listing.show()


def _row(trigger: dict[str, Any]) -> Row:
    by_topic = trigger["source"] == "sns"
    working = trigger["enabled"] and trigger["permitted"]
    problem = (
        "" if trigger["permitted"] else "Calls are refused by the function's policy: add it again, with Enable trigger."
    )
    row: Row = {
        **trigger,
        "key": f"{trigger['name']} {trigger.get('targetId', '')}".strip(),
        "kind": trigger["source"],
        "source": SOURCES[trigger["source"]],
        "when": "at each message" if by_topic else trigger["scheduleExpression"],
        "state": "Enabled" if working else "Not permitted" if trigger["enabled"] else "Disabled",
        "state_tone": "good" if working else "bad" if trigger["enabled"] else "warn",
        "problem": trigger.get("error") or problem or "–",
        "remove": "Remove",
    }
    if by_topic:
        row["name_href"] = f"/console/topics/{trigger['name']}"
    return row


def _add(operator: Operator, name: str, listing: Listing) -> None:
    def draw() -> Submit:
        source = ui.select(SOURCES, value="sns", label="Trigger").props("outlined dense").classes("wide")
        topic = ui.select({}, label="SNS topic", with_input=True).props("outlined dense").classes("wide")
        if operator.may("sns", "ListTopics"):
            ui.timer(0, looked_up(topic, lambda text: lookup.topic_arns(operator, text)), once=True)
        rule = ui.input("Rule name").props("outlined dense maxlength=64").classes("wide")
        when = ui.input("Schedule expression", value="rate(1 minute)").props("outlined dense").classes("wide")
        when.props("hint='rate(30 seconds), rate(5 minutes) or cron(0 12 * * ? *), in UTC'")
        enable = ui.checkbox("Enable trigger", value=True)
        for field, kind in ((topic, "sns"), (rule, "events"), (when, "events")):
            field.bind_visibility_from(source, "value", value=kind)

        async def add() -> None:
            if source.value == "sns":
                await add_topic(operator, name, topic.value or "", enable.value)
            else:
                await add_schedule(operator, name, (rule.value or "").strip(), when.value, enable.value)
            told("The trigger is added.")
            await listing.refresh()

        return add

    open_form("Add trigger", "Add", draw)


async def add_topic(operator: Operator, name: str, topic: str, enabled: bool) -> None:
    """The function is subscribed; unless its policy lets the topic call it, deliveries are refused."""
    if enabled:
        await _permit(operator, name, "sns", topic)
    arn = operator.rooms().arns.function(name)
    await operator.do("sns", "Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=arn)


async def add_schedule(operator: Operator, name: str, rule: str, when: str, enabled: bool) -> None:
    """A rule of its own that calls the function, and is let to."""
    state = "ENABLED" if enabled else "DISABLED"
    made = await operator.do("events", "PutRule", Name=rule, ScheduleExpression=when.strip(), State=state)
    await _permit(operator, name, "events", made["RuleArn"])
    target = {"Id": TARGET, "Arn": operator.rooms().arns.function(name)}
    await operator.do("events", "PutTargets", Rule=rule, Targets=[target])


async def _permit(operator: Operator, name: str, source: str, arn: str) -> None:
    triggers = await operator.all("fleetward", "ListFunctionTriggers", "triggers", functionName=name)
    if any(one["sourceArn"] == arn and one["permitted"] for one in triggers):
        return
    await operator.do(
        "lambda",
        "AddPermission",
        FunctionName=name,
        StatementId=_statement(source, arn),
        Action="lambda:InvokeFunction",
        Principal=PRINCIPALS[source],
        SourceArn=arn,
    )


async def _remove(operator: Operator, name: str, row: Row) -> None:
    """The permission goes too, when it is one that was made here."""
    if row["kind"] == "sns":
        await operator.do("sns", "Unsubscribe", SubscriptionArn=row["subscriptionArn"])
    else:
        await operator.do("events", "RemoveTargets", Rule=row["name"], Ids=[row["targetId"]])
        if not (await operator.do("events", "ListTargetsByRule", Rule=row["name"]))["Targets"]:
            await operator.do("events", "DeleteRule", Name=row["name"])
    if not row["permitted"]:
        return
    policy = (await operator.do("lambda", "GetPolicy", FunctionName=name))["Policy"]
    statement = _statement(row["kind"], row["sourceArn"])
    if f'"{statement}"' in policy:
        await operator.do("lambda", "RemovePermission", FunctionName=name, StatementId=statement)


def _statement(source: str, arn: str) -> str:
    return f"{source}-{arn.rpartition(':')[2].rpartition('/')[2]}"[:100]


def _nothing() -> None:
    empty("Nothing sets it off yet", "Add a topic, so that each alert calls it, or a schedule.", "bolt")
