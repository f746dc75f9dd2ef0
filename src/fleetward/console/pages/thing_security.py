"""A thing's Security tab: its certificates, the policies that bind it, and what it may do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup, made_certificate
from fleetward.console.parts import forms
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.parts.redrawn import Redrawn

ACTIONS = {"CONNECT": "Connect", "PUBLISH": "Publish", "SUBSCRIBE": "Subscribe", "RECEIVE": "Receive"}

KINDS = {"CONNECT": "client", "PUBLISH": "topic", "SUBSCRIBE": "topicfilter", "RECEIVE": "topic"}
"""Action → the kind of resource that it is done to."""

DECISIONS = {
    "ALLOWED": ("Allowed", "good"),
    "EXPLICIT_DENY": ("Denied", "bad"),
    "IMPLICIT_DENY": ("Denied: no policy allows it", "bad"),
}

MOST = 20
"""Certificates that are looked at for the policies that bind."""

Again = Callable[[], Awaitable[None]]


async def draw(operator: Operator, name: str, changed: Again) -> None:
    security = _Security(operator, name, changed)
    await security.draw()


class _Security:
    def __init__(self, operator: Operator, name: str, changed: Again) -> None:
        self._operator, self._name, self._changed = operator, name, changed
        self._policies = Redrawn(self._draw_policies)
        self._arn = ""

    async def draw(self) -> None:
        described = await self._operator.do("iot", "DescribeThing", thingName=self._name)
        self._arn = described["thingArn"]
        with ui.element("div").classes("toolbar"):
            heading("Certificates")
            ui.space()
            self._buttons()
        may_detach = self._operator.may("iot", "DetachThingPrincipal", thingName=self._name, principal=self._arn)
        columns = [Column("id", "Certificate", "link"), Column("kind", "Attachment")]
        columns += [Column("detach", "", "action")] if may_detach else []
        self._certificates = Listing(
            self._operator, columns, _certificate_row, "iot", "ListThingPrincipalsV2", "thingPrincipalObjects",
            _no_certificate, act=self._detach, thingName=self._name,
        )  # fmt: skip
        await self._certificates.show()
        heading("Policies that bind it")
        self._policies = Redrawn(self._draw_policies)
        await self._policies.again()
        heading("What may this device do?")
        await self._draw_test()

    def _buttons(self) -> None:
        if self._operator.may("iot", "AttachThingPrincipal", thingName=self._name, principal=self._arn):
            ui.button("Attach certificate …", on_click=self._attach).props("outline no-caps")
            if self._operator.may("iot", "CreateKeysAndCertificate"):
                ui.button("Create certificate …", on_click=self._create).props("outline no-caps")

    async def _again(self) -> None:
        await self._certificates.refresh()
        await self._policies.again()
        await self._changed()

    # --- certificates -------------------------------------------------------------------------------------------------

    async def _attach(self) -> None:
        async def accept() -> None:
            principal = lookup.sibling(self._arn, "cert", certificate.value or "")
            await self._operator.do("iot", "AttachThingPrincipal", thingName=self._name, principal=principal)
            told("The certificate is attached.")
            await self._again()

        with forms.form(f"Attach a certificate to {self._name}", "Attach", accept):
            certificate = await forms.picker("Certificate ID", lambda text: lookup.certificates(self._operator, text))

    async def _create(self) -> None:
        async def attach(certificate_arn: str) -> None:
            await self._operator.do("iot", "AttachThingPrincipal", thingName=self._name, principal=certificate_arn)
            await self._again()

        await made_certificate.create(self._operator, self._name, attach)

    async def _detach(self, row: Row) -> None:
        consequence = "Connections with it no longer stand for this thing: the policies of its groups do not bind them."
        if await confirm(f"Detach the certificate from {self._name}?", consequence, "Detach"):
            principal = lookup.sibling(self._arn, "cert", row["key"])
            await self._operator.do("iot", "DetachThingPrincipal", thingName=self._name, principal=principal)
            told("The certificate is detached.")
            await self._again()

    async def _attached(self) -> list[str]:
        """The ARNs of its certificates."""
        return await self._operator.all("iot", "ListThingPrincipals", "principals", MOST, thingName=self._name)

    # --- policies -----------------------------------------------------------------------------------------------------

    async def _draw_policies(self) -> None:
        found: dict[str, list[str]] = {}
        attached: list[str | None] = [*await self._attached()]
        for principal in attached or [None]:
            answer = await self._operator.do("iot", "GetEffectivePolicies", thingName=self._name, principal=principal)
            through = f"with {principal.rsplit('/', 1)[1][:12]}…" if principal else "through its thing groups"
            for policy in answer["effectivePolicies"]:
                found.setdefault(policy["policyName"], []).append(through)
        if not found:
            empty("No policy binds it", "Without a policy a device may do nothing, not even connect.", "policy")
        for name, ways in found.items():
            with ui.element("div").classes("line"):
                ui.link(name, lookup.target("policy", name))
                ui.label(", ".join(ways)).classes("quiet")

    # --- what it may do -----------------------------------------------------------------------------------------------

    async def _draw_test(self) -> None:
        async def ask() -> None:
            answer = await self._operator.do(
                "fleetward",
                "DescribeAuthorization",
                thingName=self._name,
                principal=next(iter(await self._attached()), None) if not certificate.value else certificate.value,
                clientId=client.value or None,
                actionType=action.value,
                resource=lookup.sibling(self._arn, KINDS[action.value], resource.value or ""),
            )
            verdict.clear()
            with verdict:
                _verdict(answer)

        def suggest() -> None:
            resource.set_value(self._name if action.value == "CONNECT" else "")

        attached = {arn: lookup.named(arn)[1][:16] + "…" for arn in await self._attached()}
        with ui.element("div").classes("toolbar"):
            action = ui.select(ACTIONS, label="Action", value="CONNECT", on_change=suggest).props("outlined dense")
            resource = forms.field("Client ID, topic or topic filter", self._name).classes(remove="wide", add="search")
            client = forms.field("As client ID", self._name).classes(remove="wide")
            certificate = ui.select(attached, label="With certificate", value=next(iter(attached), None))
            certificate.props("outlined dense").set_visibility(len(attached) > 1)
            ui.button("Test", on_click=ask).props("outline no-caps")
        resource.on("keydown.enter", ask)
        verdict = ui.element("div").classes("wide").props("aria-live=polite")


def _verdict(answer: Mapping[str, Any]) -> None:
    text, tone = DECISIONS[answer["decision"]]
    with ui.element("section").classes("card"):
        ui.label(text).classes(f"state {tone}")
        if answer.get("policyName"):
            with ui.row().classes("badges-line"):
                ui.label(f"by statement {answer['statement'] + 1} of")
                ui.link(answer["policyName"], lookup.target("policy", answer["policyName"]))
            statements = json.loads(answer["policyDocument"])["Statement"]
            one = statements[answer["statement"]] if isinstance(statements, list) else statements
            with ui.element("pre").classes("source"):
                ui.label(json.dumps(one, indent=2, ensure_ascii=False))


def _certificate_row(attachment: dict[str, Any]) -> Row:
    _, id = lookup.named(attachment["principal"])
    exclusive = attachment["thingPrincipalType"] == "EXCLUSIVE_THING"
    return {
        "key": id,
        "id": f"{id[:24]}…",
        "id_href": lookup.href("cert", id),
        "kind": "exclusive: whatever its client ID" if exclusive else "when its client ID is the thing's name",
        "detach": "Detach",
    }


def _no_certificate() -> None:
    empty(
        "No certificate is attached",
        "A device stands for this thing when it connects with a certificate that is attached here.",
        "badge",
    )
