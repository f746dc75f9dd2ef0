"""What a profile does besides alerting: mitigation actions that run by themselves, and the export of its metrics."""

from __future__ import annotations

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup
from fleetward.console.pages.behavior_form import FIELD, TYPED
from fleetward.console.pages.profile_steps import Changed
from fleetward.console.parts.choice import Choice
from fleetward.console.parts.forms import looked_up
from fleetward.console.parts.heading import heading
from fleetward.console.profile_draft import Draft

RUNNABLE = "ADD_THINGS_TO_THING_GROUP"
"""The type of the actions that Detect runs, here as on AWS."""

MOST = 250


class Responses:
    """The lower half of the wizard's second step."""

    def __init__(self, operator: Operator, draft: Draft, changed: Changed) -> None:
        self._operator, self._draft, self._changed = operator, draft, changed
        heading("Mitigation actions")
        ui.label(
            "Run by themselves as soon as a device alarms, such as to isolate it. At most 5; kept as the profile's tag "
            "mitigation-actions, which AWS does not know."
        ).classes("quiet")
        self._actions = Choice(
            list(draft.mitigation_actions),
            label="Mitigation actions",
            value=list(draft.mitigation_actions),
            multiple=True,
            on_change=self._note,
        ).props(f"{FIELD} use-chips")
        self._actions.classes("wide")
        heading("Metrics export")
        ui.label(
            "The values of behaviors with “Export its metric” are published to this MQTT topic. The role lets "
            "iot.amazonaws.com do so (iot:Publish)."
        ).classes("quiet")
        with ui.element("div").classes("field-row"):
            self._topic = ui.input("MQTT topic", value=draft.export_topic, on_change=self._note)
            self._topic.props(f"{TYPED} maxlength=512")
            known = {draft.export_role: _last(draft.export_role)} if draft.export_role else {}
            self._role = Choice(
                known,
                label="IAM role for the export",
                value=draft.export_role,
                with_input=True,
                clearable=True,
                on_change=self._note,
            ).props(FIELD)
        self._offer_roles = looked_up(self._role, self._roles)

    async def load(self) -> None:
        """The actions and roles there are; what was chosen before stays for whoever may not look."""
        if self._operator.may("iot", "ListMitigationActions", actionType=RUNNABLE):
            found = await self._operator.all(
                "iot", "ListMitigationActions", "actionIdentifiers", MOST, actionType=RUNNABLE
            )
            names = [action["actionName"] for action in found]
            self._actions.set_options(list(dict.fromkeys([*self._draft.mitigation_actions, *names])))
        await self._offer_roles()

    async def _roles(self, beginning: str) -> dict[str, str]:
        return await lookup.role_arns(self._operator, beginning) if self._operator.may("iam", "ListRoles") else {}

    async def _note(self) -> None:
        self._draft.mitigation_actions = list(self._actions.value)
        self._draft.export_topic, self._draft.export_role = (self._topic.value or "").strip(), self._role.value
        await self._changed()

    def lacks(self) -> str:
        if self._draft.export_topic and not self._draft.export_role:
            return "Choose the IAM role that may publish to the MQTT topic."
        if self._draft.export_role and not self._draft.export_topic:
            return "Give the MQTT topic to export to, or take its role away."
        return ""


def _last(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
