"""The wizard that creates or edits a security profile: behaviours, alert targets, targets, and a summary."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import deepcopy

from nicegui import ui

from fleetward.console.condition import Condition, to_behavior
from fleetward.console.operator import Operator
from fleetward.console.pages.behavior_form import TYPED, BehaviorForm, Choices
from fleetward.console.pages.profile_preview import Preview
from fleetward.console.pages.profile_responses import Responses
from fleetward.console.pages.profile_steps import AlertStep, TargetStep, description_field, summarise
from fleetward.console.parts.heading import heading
from fleetward.console.parts.notices import empty, told
from fleetward.console.parts.settled import Settled
from fleetward.console.profile_draft import Draft, Step, draft_of
from fleetward.console.shell import entitle, page
from fleetward.detect.custom_metrics import TYPES
from fleetward.meter.metrics import METRICS, metric_of

SETTLE_SECONDS = 0.5
CREATE = "/profiles/create"
STEPS = ("Behaviors", "Alert targets and metrics", "Attach to targets", "Summary")
COMPLAINT = re.compile(r"Behavior (?P<name>.+?) is malformed\. (?P<text>.*)", re.DOTALL)
MAX_CUSTOM = 100


@page(CREATE, "Create security profile")
async def create(operator: Operator) -> None:
    await _open(operator, None)


@page("/profiles/{name}/edit", "Edit security profile")
async def edit(operator: Operator, name: str) -> None:
    entitle(f"Edit {name}")
    await _open(operator, await stored_draft(operator, name))


async def _open(operator: Operator, stored: Draft | None) -> None:
    operation = "CreateSecurityProfile" if stored is None else "UpdateSecurityProfile"
    if not operator.may("iot", operation, securityProfileName="any" if stored is None else stored.name):
        empty("You may not change security profiles", f"Ask for a policy that allows iot:{operation}.", "lock")
        return
    await _Wizard(operator, stored, await _choices(operator)).load()


async def stored_draft(operator: Operator, name: str) -> Draft:
    profile = await operator.do("iot", "DescribeSecurityProfile", securityProfileName=name)
    tags = await operator.all("iot", "ListTagsForResource", "tags", resourceArn=profile["securityProfileArn"])
    targets = await operator.all(
        "iot", "ListTargetsForSecurityProfile", "securityProfileTargets", securityProfileName=name
    )
    return draft_of(profile, {tag["Key"]: tag.get("Value", "") for tag in tags}, [target["arn"] for target in targets])


async def _choices(operator: Operator) -> Choices:
    metrics = dict(METRICS)
    if operator.may("iot", "ListCustomMetrics"):
        for name in await operator.all("iot", "ListCustomMetrics", "metricNames", MAX_CUSTOM):
            metric = await operator.do("iot", "DescribeCustomMetric", metricName=name)
            metrics[name] = metric_of(name, TYPES[metric["metricType"]])
    dimensions: Sequence[str] = ()
    if operator.may("iot", "ListDimensions"):
        dimensions = await operator.all("iot", "ListDimensions", "dimensionNames", MAX_CUSTOM)
    return Choices(metrics, dimensions)


class _Wizard:
    """The draft, its steps, and what is asked of the API about it while it is being written."""

    def __init__(self, operator: Operator, stored: Draft | None, choices: Choices) -> None:
        self._operator, self._choices = operator, choices
        self._stored = stored
        self.draft = Draft() if stored is None else deepcopy(stored)
        self._forms: list[BehaviorForm] = []
        self._wrong: list[BehaviorForm] = []
        self._settled = Settled(SETTLE_SECONDS)
        self._step = 0
        self._draw()

    async def load(self) -> None:
        await self._alerts.load()
        await self._responses.load()
        await self._targets.load()
        self._go(0)
        await self._check()

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        with ui.element("ol").classes("wizard-steps").props("aria-label=Steps"):
            self._marks = [ui.element("li") for _ in STEPS]
            for mark, title in zip(self._marks, STEPS, strict=True):
                with mark:
                    ui.label(title)
        self._problem = ui.label().classes("problem").props("role=alert")
        self._panes = [ui.element("div").props("tabindex=-1 role=group").classes("pane") for _ in STEPS]
        for pane, title in zip(self._panes, STEPS, strict=True):
            pane.props(f'aria-label="{title}"')
        for pane in self._panes[1:]:
            pane.classes("card")
        with self._panes[0]:
            self._draw_behaviors()
        with self._panes[1]:
            self._alerts = AlertStep(self._operator, self.draft, self._choices, self._note)
            self._responses = Responses(self._operator, self.draft, self._note)
        with self._panes[2]:
            self._targets = TargetStep(self._operator, self.draft, self._arn, self._note)
        with ui.row().classes("wizard-buttons"):
            ui.button("Cancel", on_click=self._leave).props("flat no-caps")
            ui.space()
            self._back = ui.button("Back", on_click=self._on_back).props("outline no-caps")
            self._next = ui.button("Next", on_click=self._on_next).props("unelevated no-caps")
        self._preview = Preview(self._operator, self._read)

    def _draw_behaviors(self) -> None:
        self._name = ui.input("Security profile name", value=self.draft.name, on_change=self._note)
        self._name.props(f"{TYPED} maxlength=128 hint='Letters, digits, and : _ -'").classes("wide")
        self._name.set_enabled(self._stored is None)
        description_field(self.draft, self._note)
        heading("Behaviors")
        self._places = ui.element("div").classes("behaviors")
        for one in self.draft.conditions:
            self._add_form(one)
        ui.button("Add behavior", icon="add", on_click=self._add_behavior).props("outline no-caps")
        self._margin = ui.number(
            "Margin around statistical thresholds", value=self.draft.margin_percent, min=0, max=1000
        ).props(f"{TYPED} suffix=%")
        self._margin.classes("margin").on_value_change(self._note)
        ui.label(
            "A device is flagged only when it is off by more than this; without a margin a percentile flags healthy "
            "devices too. Kept as the profile's tag statistical-margin-percent."
        ).classes("quiet")

    def _add_form(self, one: Condition) -> BehaviorForm:
        with self._places:
            self._forms.append(BehaviorForm(self._choices, one, self._note, self._remove_behavior))
        return self._forms[-1]

    async def _add_behavior(self) -> None:
        self._add_form(Condition()).focus()
        await self._note()

    async def _remove_behavior(self, form: BehaviorForm) -> None:
        self._forms.remove(form)
        form.card.delete()
        await self._note()

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _on_next(self) -> None:
        if self._step == len(STEPS) - 1:
            await self._save()
            return
        self._problem.set_text(await self._what_is_missing())
        if not self._problem.text:
            self._go(self._step + 1)

    def _on_back(self) -> None:
        self._problem.set_text("")
        self._go(self._step - 1)

    def _go(self, step: int) -> None:
        moved, self._step = step != self._step, step
        for number, (mark, pane) in enumerate(zip(self._marks, self._panes, strict=True)):
            pane.set_visibility(number == step)
            mark.classes(remove="now done", add="now" if number == step else "done" if number < step else "")
            mark.props(*(["aria-current=step"] if number == step else []), remove="" if number == step else CURRENT)
        last = step == len(STEPS) - 1
        self._back.set_enabled(step > 0)
        self._next.set_text("Save" if last else "Next")
        if last:
            self._panes[-1].clear()
            with self._panes[-1]:
                summarise(self._read(), self._choices)
        if moved:
            focus = f"getHtmlElement({self._panes[step].id}).focus({{preventScroll: true}})"
            ui.run_javascript(f"setTimeout(() => {{ {focus}; scrollTo(0, 0); }}, 50)")

    async def _what_is_missing(self) -> str:
        """Why the step cannot be left yet."""
        if self._step == 1:
            return self._alerts.lacks() or self._responses.lacks()
        if self._step != 0:
            return ""
        if not self._name.value.strip():
            self._name.run_method("focus")
            return "Give the security profile a name."
        for form in self._forms:
            form.touched = True
        problem = await self._check()
        if self._wrong:
            self._wrong[0].focus()
        return problem

    # --- what the API says of it --------------------------------------------------------------------------------------

    def _read(self) -> Draft:
        self.draft.name = self._name.value.strip()
        self.draft.conditions = [form.read() for form in self._forms]
        self.draft.margin_percent = float(self._margin.value or 0)
        return self.draft

    async def _note(self) -> None:
        if await self._settled():
            await self._check()
            await self._preview.changed()

    async def _check(self) -> str:
        """Tells each behaviour what is wrong with it; returns why the step cannot be left, or nothing."""
        draft, forms = self._read(), list(self._forms)
        told_to, others = await self._complaints(draft, forms)
        for form, complaints in zip(forms, told_to, strict=True):
            if form.touched or not complaints:
                form.tell(complaints, draft.margin_percent)
        self._wrong = [form for form, complaints in zip(forms, told_to, strict=True) if complaints]
        if self._wrong:
            return "A behavior is not complete yet; see what it says."
        if not others:
            await self._advise(draft, forms)
        return " ".join(others)

    async def _complaints(self, draft: Draft, forms: Sequence[BehaviorForm]) -> tuple[list[list[str]], list[str]]:
        """What is wrong with each behaviour, and with all of them."""
        found: list[list[str]] = [[lack] if (lack := form.lacks()) else [] for form in forms]
        complete = [number for number, lacks in enumerate(found) if not lacks]
        behaviors = [to_behavior(draft.conditions[number]) for number in complete]
        answer = await self._operator.do("iot", "ValidateSecurityProfileBehaviors", behaviors=behaviors)
        others: list[str] = []
        for error in answer["validationErrors"]:
            match = COMPLAINT.fullmatch(error["errorMessage"])
            meant = [n for n in complete if match and draft.conditions[n].name == match["name"]]
            for number in meant:
                found[number].append(match["text"] if match else "")
            if not meant:
                others.append(error["errorMessage"])
        return found, others

    async def _advise(self, draft: Draft, forms: Sequence[BehaviorForm]) -> None:
        if not forms or not self._operator.may("fleetward", "LintSecurityProfile"):
            return
        answer = await self._operator.do(
            "fleetward",
            "LintSecurityProfile",
            profile=json.dumps(draft.document()),
            targetArns=draft.targets or None,
        )
        for form, one in zip(forms, draft.conditions, strict=False):
            form.advise([advice for advice in answer["advice"] if advice["behaviorName"] == one.name])

    # --- storing it ---------------------------------------------------------------------------------------------------

    async def _save(self) -> None:
        self._next.disable()
        try:
            await self._store(self._read())
        finally:
            self._next.enable()
        told(f"Security profile {self.draft.name} is saved.")
        ui.navigate.to(f"/profiles/{self.draft.name}")

    async def _store(self, draft: Draft) -> None:
        """Step by step; after a refusal another attempt does what is left."""
        if self._stored is None:
            await self._do(draft, draft.creation())
        assert self._stored is not None
        for step in list(draft.changes(self._stored, self._arn(f"securityprofile/{draft.name}"))):
            await self._do(draft, step)

    async def _do(self, draft: Draft, step: Step) -> None:
        operation, params = step
        await self._operator.do("iot", operation, **params)
        self._stored = await stored_draft(self._operator, draft.name)

    def _arn(self, resource: str) -> str:
        return self._operator.arn("iot", resource)

    def _leave(self) -> None:
        ui.navigate.to("/profiles" if self._stored is None else f"/profiles/{self._stored.name}")


CURRENT = "aria-current"
