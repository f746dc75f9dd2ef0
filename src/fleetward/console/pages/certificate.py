"""One certificate: what it is, whose it is, what it may do, and whether it may be used."""

from __future__ import annotations

from collections.abc import Mapping
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

TONES = {"ACTIVE": "good", "INACTIVE": "warn", "REVOKED": "bad"}

CHANGES = (
    ("Activate", "ACTIVE", ("INACTIVE",), "Devices may connect with it again."),
    ("Deactivate …", "INACTIVE", ("ACTIVE",), "Connections that use it are dropped until it is activated again."),
    ("Revoke …", "REVOKED", ("ACTIVE", "INACTIVE"), "Connections that use it are dropped. This cannot be undone."),
)
"""Button, the status that it sets, the statuses in which it is offered, and the consequence."""


async def draw(operator: Operator, id: str) -> None:
    await _Certificate(operator, id).draw()


class _Certificate:
    def __init__(self, operator: Operator, id: str) -> None:
        self._operator, self._id = operator, id
        self._arn = ""
        self._head = Redrawn(self._draw_head)

    async def draw(self) -> None:
        await self._head.again()
        with ui.element("div").classes("toolbar"):
            heading("Things")
            ui.space()
            if self._may("AttachThingPrincipal", thingName="any", principal=self._arn):
                ui.button("Attach thing …", on_click=self._attach_thing).props("outline no-caps")
        self._things = await self._list("ListPrincipalThings", "things", _thing_row, self._detach_thing, "maxResults",
            "DetachThingPrincipal", _no_things, principal=self._arn)  # fmt: skip
        with ui.element("div").classes("toolbar"):
            heading("Policies")
            ui.space()
            if self._may("AttachPolicy", policyName="any", target=self._arn):
                ui.button("Attach policy …", on_click=self._attach_policy).props("outline no-caps")
        self._policies = await self._list("ListAttachedPolicies", "policies", _policy_row, self._detach_policy,
            "pageSize", "DetachPolicy", _no_policies, target=self._arn)  # fmt: skip

    def _may(self, operation: str, **params: Any) -> bool:
        return self._operator.may("iot", operation, **params)

    async def _list(
        self, operation: str, items: str, row: Any, detach: Any, size: str, needs: str, nothing: Any, **params: Any
    ) -> Listing:
        may_detach = self._may(needs, **params, thingName="any", policyName="any")
        columns = (Column("name", "Name", "link"), *((Column("detach", "", "action"),) if may_detach else ()))
        made = Listing(self._operator, columns, row, "iot", operation, items, nothing, size, detach, **params)
        await made.show()
        return made

    async def _draw_head(self) -> None:
        answer = await self._operator.do("iot", "DescribeCertificate", certificateId=self._id)
        described = answer["certificateDescription"]
        self._arn, status = described["certificateArn"], described["status"]
        with ui.element("div").classes("badges"):
            ui.label(status).classes(f"state {TONES[status]}")
            ui.space()
            self._buttons(status)
        facts(
            {
                "Certificate ID": self._id,
                "ARN": self._arn,
                "Created": lambda: Moment(described["creationDate"]),
                "Valid": lambda: _validity(described["validity"]),
                "Signed by": described.get("caCertificateId") or "Fleetward's own CA",
            }
        )

    def _buttons(self, status: str) -> None:
        if self._may("UpdateCertificate", certificateId=self._id):
            for label, wanted, offered, consequence in CHANGES:
                if status in offered:
                    ui.button(
                        label,
                        on_click=lambda label=label, wanted=wanted, consequence=consequence: self._set(
                            label, wanted, consequence
                        ),
                    ).props("outline no-caps")
        if self._may("DeleteCertificate", certificateId=self._id):
            ui.button("Delete …", on_click=self._delete).props("outline no-caps")

    async def _set(self, label: str, status: str, consequence: str) -> None:
        action = label.removesuffix(" …")
        if status != "ACTIVE" and not await confirm(f"{action} this certificate?", consequence, action):
            return
        await self._operator.do("iot", "UpdateCertificate", certificateId=self._id, newStatus=status)
        told(f"The certificate is {status.lower()}.")
        await self._head.again()

    async def _delete(self) -> None:
        consequence = (
            "Nobody can ever connect with it again. It must be inactive, and its things and policies detached, before."
        )
        if await confirm("Delete this certificate?", consequence, "Delete"):
            await self._operator.do("iot", "DeleteCertificate", certificateId=self._id)
            told("The certificate is deleted.")
            ui.navigate.to("/certificates")

    # --- attaching ----------------------------------------------------------------------------------------------------

    async def _attach_thing(self) -> None:
        async def accept() -> None:
            await self._operator.do(
                "iot",
                "AttachThingPrincipal",
                thingName=thing.value or "",
                principal=self._arn,
                thingPrincipalType="EXCLUSIVE_THING" if exclusive.value else None,
            )
            told(f"It is attached to {thing.value}.")
            await self._things.refresh()

        with forms.form("Attach to a thing", "Attach", accept):
            thing = await forms.picker("Thing", lambda text: lookup.things(self._operator, text))
            exclusive = ui.checkbox("Exclusively: whatever client ID the device uses")

    async def _detach_thing(self, row: Row) -> None:
        consequence = f"Connections with it no longer stand for {row['key']}: its groups' policies do not bind them."
        if await confirm(f"Detach from {row['key']}?", consequence, "Detach"):
            await self._operator.do("iot", "DetachThingPrincipal", thingName=row["key"], principal=self._arn)
            told(f"It is detached from {row['key']}.")
            await self._things.refresh()

    async def _attach_policy(self) -> None:
        async def accept() -> None:
            await self._operator.do("iot", "AttachPolicy", policyName=policy.value or "", target=self._arn)
            told(f"{policy.value} is attached.")
            await self._policies.refresh()

        with forms.form("Attach a policy", "Attach", accept):
            policy = await forms.picker("Policy", lambda text: lookup.policies(self._operator, text))

    async def _detach_policy(self, row: Row) -> None:
        consequence = "Devices that use this certificate may no longer do what only this policy allows."
        if await confirm(f"Detach {row['key']}?", consequence, "Detach"):
            await self._operator.do("iot", "DetachPolicy", policyName=row["key"], target=self._arn)
            told(f"{row['key']} is detached.")
            await self._policies.refresh()


def _validity(validity: Mapping[str, Any]) -> None:
    with ui.element("div").classes("badges-line"):
        Moment(validity["notBefore"])
        ui.label("to")
        Moment(validity["notAfter"])


def _thing_row(name: str) -> Row:
    return {"key": name, "name": name, "name_href": lookup.href("thing", name), "detach": "Detach"}


def _policy_row(policy: dict[str, Any]) -> Row:
    name = policy["policyName"]
    return {"key": name, "name": name, "name_href": lookup.href("policy", name), "detach": "Detach"}


def _no_things() -> None:
    empty("No thing is attached", "Connections with this certificate stand for no thing until one is.", "sensors")


def _no_policies() -> None:
    empty("No policy is attached", "A device may do nothing until a policy allows it.", "policy")
