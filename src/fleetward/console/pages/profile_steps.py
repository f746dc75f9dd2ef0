"""The second, third and last step of the wizard: who is alerted, what is watched, and the summary of it all."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from fleetward.console import condition
from fleetward.console.operator import Operator
from fleetward.console.pages import lookup
from fleetward.console.pages.behavior_form import FIELD, TYPED, Choices
from fleetward.console.parts.choice import Choice
from fleetward.console.parts.forms import looked_up
from fleetward.console.parts.heading import heading
from fleetward.console.parts.notices import told
from fleetward.console.profile_draft import Draft

Changed = Callable[[], Awaitable[None]]

POPULATIONS = {
    "all/things": "All things",
    "all/registered-things": "All registered things",
    "all/unregistered-things": "All unregistered things",
}
"""ARN resource → how the document calls it."""


class AlertStep:
    """SNS topic, IAM role, additional metrics to retain."""

    def __init__(self, operator: Operator, draft: Draft, choices: Choices, changed: Changed) -> None:
        self._operator, self._draft, self._changed = operator, draft, changed
        heading("Alert targets")
        ui.label("Who is told when a device violates a behavior. Without a topic alarms are only recorded.").classes(
            "quiet"
        )
        with ui.element("div").classes("field-row"):
            self._topic = self._select("SNS topic", draft.topic_arn)
            self._role = self._select("IAM role", draft.role_arn)
        self._offer_topics = looked_up(self._topic, self._topics)
        self._offer_roles = looked_up(self._role, self._roles)
        self._standing = ui.label().classes("quiet keeps-its-line")
        with ui.element("div").classes("toolbar"):
            self._make_role = ui.button("Create a role", icon="add", on_click=self._create_role)
            self._make_role.props("outline no-caps")
            ui.button("Refresh", icon="refresh", on_click=self.load).props("flat no-caps")
            ui.link("Topics and subscriptions", "/topics", new_tab=True)
        ui.label(
            "The role lets iot.amazonaws.com publish to the topic (sns:Publish). “Create a role” makes one that may do "
            "that and nothing else."
        ).classes("quiet")
        heading("Additional metrics to retain")
        ui.label("Kept for investigation, besides what the behaviors use.").classes("quiet")
        labels = choices.labels() | {name: name for name in draft.retained if name not in choices.metrics}
        self._retained = Choice(
            labels, label="Additional metrics to retain", value=draft.retained, multiple=True, on_change=self._note
        ).props(f"{FIELD} use-chips")
        self._retained.classes("wide")

    def _select(self, label: str, chosen: str | None) -> ui.select:
        known = {chosen: _last(chosen)} if chosen else {}
        return Choice(known, label=label, value=chosen, with_input=True, clearable=True, on_change=self._note).props(
            FIELD
        )

    async def load(self) -> None:
        """The topics and roles there are now."""
        await self._offer_topics()
        await self._offer_roles()
        await self._tell_standing()

    async def _topics(self, beginning: str) -> dict[str, str]:
        """Nothing for whoever may not look; what was chosen before stays chosen."""
        return await lookup.topic_arns(self._operator, beginning) if self._operator.may("sns", "ListTopics") else {}

    async def _roles(self, beginning: str) -> dict[str, str]:
        return await lookup.role_arns(self._operator, beginning) if self._operator.may("iam", "ListRoles") else {}

    async def _note(self) -> None:
        topic_before = self._draft.topic_arn
        self._draft.topic_arn, self._draft.role_arn = self._topic.value, self._role.value
        self._draft.retained = list(self._retained.value)
        if topic_before != self._draft.topic_arn:
            await self._tell_standing()
        await self._changed()

    async def _tell_standing(self) -> None:
        """Whether anybody would get the alerts: an unconfirmed subscription is silent."""
        arn = self._draft.topic_arn
        self._make_role.set_enabled(arn is not None and self._operator.may("iam", "CreateRole", RoleName="alerts"))
        if arn is None or not self._operator.may("sns", "GetTopicAttributes", TopicArn=arn):
            self._standing.set_text("")
            return
        attributes = (await self._operator.do("sns", "GetTopicAttributes", TopicArn=arn))["Attributes"]
        confirmed, pending = (int(attributes[f"Subscriptions{state}"]) for state in ("Confirmed", "Pending"))
        waiting = f", {pending} not yet confirmed: nothing is sent there until then" if pending else ""
        nobody = ". Nobody gets the alerts yet" if not confirmed else ""
        self._standing.set_text(f"{_last(arn)} has {confirmed} confirmed subscriptions{waiting}{nobody}.")

    async def _create_role(self) -> None:
        arn = self._draft.topic_arn
        if arn is None:
            return
        wanted = f"{_last(arn)[:48]}-alerts"
        name = _free(wanted, set((await self._roles(wanted)).values()))
        made = await self._operator.do("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=_document(TRUST))
        permission = {"Effect": "Allow", "Action": "sns:Publish", "Resource": arn}
        await self._operator.do(
            "iam", "PutRolePolicy", RoleName=name, PolicyName="Publish", PolicyDocument=_document(permission)
        )
        self._role.set_options({made["Role"]["Arn"]: name}, value=made["Role"]["Arn"])
        await self.load()
        told(f"Role {name} may publish to {_last(arn)}.")

    def lacks(self) -> str:
        if self._draft.topic_arn and not self._draft.role_arn:
            return "Choose the IAM role that may publish to the topic, or create one."
        if self._draft.role_arn and not self._draft.topic_arn:
            return "Choose the SNS topic, or take the role away."
        return ""


class TargetStep:
    """What the profile is attached to."""

    def __init__(self, operator: Operator, draft: Draft, arn: Callable[[str], str], changed: Changed) -> None:
        self._operator, self._draft, self._arn, self._changed = operator, draft, arn, changed
        heading("Attach to targets")
        ui.label("The devices it watches. Attached to nothing, it watches nothing.").classes("quiet")
        with ui.element("div").classes("populations"):
            self._populations = {
                arn(resource): ui.checkbox(label, value=arn(resource) in draft.targets, on_change=self._note)
                for resource, label in POPULATIONS.items()
            }
        groups = {target: _last(target) for target in draft.targets if target not in self._populations}
        self._groups = Choice(
            groups, label="Thing groups", value=list(groups), multiple=True, with_input=True, on_change=self._note
        ).props(f"{FIELD} use-chips hint='Type the beginning of a name; child groups are watched with their parent'")
        self._groups.classes("wide")
        self.load = looked_up(self._groups, lambda text: lookup.group_arns(operator, text))

    async def _note(self) -> None:
        populations = [arn for arn, box in self._populations.items() if box.value]
        self._draft.targets = [*populations, *self._groups.value]
        await self._changed()


def summarise(draft: Draft, choices: Choices) -> None:
    """Everything that will be stored, in words."""
    labels = choices.labels()
    retained = [labels.get(metric, metric) for metric in draft.retained]
    heading("Summary")
    with ui.element("dl").classes("facts"):
        _fact("Name", draft.name)
        if draft.description:
            _fact("Description", draft.description)
        _fact("SNS topic", _last(draft.topic_arn) if draft.topic_arn else "None: alarms are only recorded")
        _fact("IAM role", _last(draft.role_arn) if draft.role_arn else "None")
        _fact("Additional metrics to retain", ", ".join(retained) or "None")
        _fact("Mitigation actions", ", ".join(draft.mitigation_actions) or "None: nothing is done by itself")
        if draft.export_topic:
            _fact("Metrics export", f"{draft.export_topic}, as {_last(draft.export_role or '')}")
        _fact("Targets", ", ".join(map(target_label, draft.targets)) or "None: it watches nothing yet")
        if draft.is_statistical:
            _fact("Margin", f"{draft.margin_percent:g} %")
    heading("Behaviors", 3)
    for one in draft.conditions:
        with ui.element("div").classes("line column"):
            ui.label(one.name).classes("strong")
            ui.label(condition.alarm_sentence(one, draft.margin_percent))
            ui.label(condition.normal_sentence(one)).classes("quiet")


def target_label(arn: str) -> str:
    resource = arn.split(":", 5)[-1]
    return POPULATIONS.get(resource) or f"Thing group {_last(arn)}"


def description_field(draft: Draft, changed: Changed) -> None:
    async def note(event: Any) -> None:
        draft.description = event.value or ""
        await changed()

    ui.input("Description", value=draft.description, on_change=note).props(f"{TYPED} maxlength=1000").classes("wide")


TRUST = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}


def _document(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _free(name: str, taken: set[str]) -> str:
    return next(free for free in (name, *(f"{name}-{number}" for number in range(2, 1000))) if free not in taken)


def _last(arn: str) -> str:
    return arn.replace("/", ":").rsplit(":", 1)[-1]


def _fact(name: str, value: str) -> None:
    with ui.element("dt"):
        ui.label(name)
    with ui.element("dd"):
        ui.label(value)
