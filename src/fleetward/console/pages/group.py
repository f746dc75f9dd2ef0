"""One thing group: who is in it, the policies attached to it, and where it stands among the others."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup
from fleetward.console.parts import forms
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.facts import facts
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import Moment
from fleetward.console.parts.notices import empty, told
from fleetward.console.parts.redrawn import Redrawn
from fleetward.console.parts.tabbed import Tabbed
from fleetward.policy.document import parse
from fleetward.policy.evaluate import Effect, evaluate

LIVE_SECONDS = 5


async def draw(operator: Operator, name: str) -> None:
    await _Group(operator, name).draw()


class _Group:
    def __init__(self, operator: Operator, name: str) -> None:
        self._operator, self._name = operator, name
        self._arn = ""
        self._head = Redrawn(self._draw_head)

    async def draw(self) -> None:
        await self._head.again()
        self._tabs = Tabbed(
            {"Things": self._draw_things, "Security": self._draw_security, "Hierarchy": self._draw_hierarchy}
        )
        await self._tabs.show()

    async def _draw_head(self) -> None:
        group = await self._operator.do("iot", "DescribeThingGroup", thingGroupName=self._name)
        self._arn = group["thingGroupArn"]
        with ui.element("div").classes("badges"):
            if await self._isolates():
                ui.label("isolates its things").classes("state bad")
            ui.space()
            if self._operator.may("iot", "DeleteThingGroup", thingGroupName=self._name):
                ui.button("Delete …", on_click=self._delete).props("outline no-caps")
        made = group["thingGroupMetadata"]["creationDate"]
        facts(
            {
                "Description": group["thingGroupProperties"].get("thingGroupDescription") or "none",
                "Created": lambda: Moment(made),
                "ARN": self._arn,
            }
        )

    async def _isolates(self) -> bool:
        """Whether its policies, and those of the groups above it, deny everyone to connect."""
        answer = await self._operator.do("iot", "GetEffectivePolicies", principal=self._arn)
        policies = [parse(policy["policyDocument"], policy["policyName"]) for policy in answer["effectivePolicies"]]
        anyone = lookup.sibling(self._arn, "client", "any")
        return evaluate(policies, "iot:Connect", anyone, {}).effect is Effect.EXPLICIT_DENY

    async def _delete(self) -> None:
        consequence = (
            "Its things stay registered, but the policies and security profiles attached to this group no longer hold "
            "for them: those that it isolates may connect again."
        )
        if await confirm(f"Delete {self._name}?", consequence, "Delete"):
            await self._operator.do("iot", "DeleteThingGroup", thingGroupName=self._name)
            told(f"{self._name} is deleted.")
            ui.navigate.to("/groups")

    # --- things -------------------------------------------------------------------------------------------------------

    async def _draw_things(self) -> None:
        may_add = self._operator.may("iot", "AddThingToThingGroup", thingGroupName=self._name, thingName="any")
        may_remove = self._operator.may("iot", "RemoveThingFromThingGroup", thingGroupName=self._name, thingName="any")
        with ui.element("div").classes("toolbar"):
            ui.space()
            ui.button("Refresh", icon="refresh", on_click=lambda: self._tabs.again("Things")).props("flat no-caps")
            if may_add:
                ui.button("Add thing …", on_click=self._add).props("unelevated no-caps")
        columns = (Column("name", "Thing", "link"), *((Column("remove", "", "action"),) if may_remove else ()))
        self._things = Listing(
            self._operator, columns, _thing_row, "iot", "ListThingsInThingGroup", "things", _no_things,
            act=self._remove, thingGroupName=self._name,
        )  # fmt: skip
        await self._things.show()
        ui.timer(LIVE_SECONDS, self._things.refresh, immediate=False)

    async def _add(self) -> None:
        async def accept() -> None:
            await self._operator.do(
                "iot", "AddThingToThingGroup", thingGroupName=self._name, thingName=thing.value or ""
            )
            told(f"{thing.value} is in {self._name}.")
            await self._things.refresh()

        with forms.form(f"Add a thing to {self._name}", "Add", accept):
            thing = await forms.picker("Thing", lambda text: lookup.things(self._operator, text))
            if await self._isolates():
                ui.label("This group isolates: the thing's connection is dropped at once.").classes("quiet")

    async def _remove(self, row: Row) -> None:
        consequence = "The policies and security profiles of this group no longer hold for it."
        if await confirm(f"Remove {row['key']} from {self._name}?", consequence, "Remove"):
            await self._operator.do("iot", "RemoveThingFromThingGroup", thingGroupName=self._name, thingName=row["key"])
            told(f"{row['key']} is no longer in {self._name}.")
            await self._things.refresh()

    # --- security -----------------------------------------------------------------------------------------------------

    async def _draw_security(self) -> None:
        attached = await lookup.policies_of(self._operator, self._arn)
        with ui.element("div").classes("toolbar"):
            heading("Policies")
            ui.space()
            if self._operator.may("iot", "AttachPolicy", target=self._arn, policyName="any"):
                ui.button("Edit", icon="edit", on_click=lambda: self._edit(attached)).props("unelevated no-caps")
        if not attached:
            empty("No policy is attached", "A policy that is attached here binds every thing in this group.", "policy")
        for name in attached:
            with ui.element("div").classes("line"):
                ui.link(name, lookup.target("policy", name))

    async def _edit(self, attached: list[str]) -> None:
        async def accept() -> None:
            wanted = list(chosen.value or ())
            for name in wanted:
                if name not in attached:
                    await self._operator.do("iot", "AttachPolicy", policyName=name, target=self._arn)
            for name in attached:
                if name not in wanted:
                    await self._operator.do("iot", "DetachPolicy", policyName=name, target=self._arn)
            told(f"The policies of {self._name} are saved.")
            await self._tabs.again("Security")
            await self._head.again()

        with forms.form(f"Policies of {self._name}", "Save", accept):
            chosen = await forms.picker("Policies", lambda text: lookup.policies(self._operator, text), attached)
            ui.label("They bind every thing in this group at once; connections that they deny are dropped.").classes(
                "quiet"
            )

    # --- hierarchy ----------------------------------------------------------------------------------------------------

    async def _draw_hierarchy(self) -> None:
        group = await self._operator.do("iot", "DescribeThingGroup", thingGroupName=self._name)
        above = group["thingGroupMetadata"].get("rootToParentThingGroups") or []
        with ui.element("div").classes("badges-line"):
            for one in above:
                ui.link(one["groupName"], lookup.target("thinggroup", one["groupName"]))
                ui.label("›")
            ui.label(self._name)
        heading("Groups in it")
        listing = Listing(
            self._operator, (Column("name", "Name", "link"),), _group_row, "iot", "ListThingGroups", "thingGroups",
            lambda: empty("No groups in it", "Choose this one as the parent when you create another."),
            parentGroup=self._name, recursive=False,
        )  # fmt: skip
        await listing.show()


def _thing_row(name: str) -> Row:
    return {"key": name, "name": name, "name_href": lookup.href("thing", name), "remove": "Remove"}


def _group_row(found: dict[str, Any]) -> Row:
    name = found["groupName"]
    return {"key": name, "name": name, "name_href": lookup.href("thinggroup", name)}


def _no_things() -> None:
    empty("No things in this group", "Things are put here by you, by a function or by a mitigation.", "sensors")
