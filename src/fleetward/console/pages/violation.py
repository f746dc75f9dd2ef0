"""One alarm: what happened and why, what followed, and what to do about it. Live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from fleetward.alarm.words import quantity
from fleetward.console.operator import Operator
from fleetward.console.pages import violation_charts
from fleetward.console.pages.violation_words import VERIFICATIONS, Step, history, standing, verification
from fleetward.console.parts.asking import ask_reason
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import Moment
from fleetward.console.parts.notices import told
from fleetward.console.shell import entitle

LIVE_SECONDS = 5
CHART_SECONDS = 30


async def show(operator: Operator, violation_id: str) -> None:
    answer = await operator.do("fleetward", "DescribeViolation", violationId=violation_id)
    found = answer["violation"]
    entitle(f"{found['thingName']}: {found['behaviorName']}")
    alarm = _Alarm(operator, found["violationId"])
    alarm.draw(answer)
    ui.timer(LIVE_SECONDS, alarm.refresh, immediate=False)
    # Of a large fleet the numbers take their time: the page does not wait for them.
    ui.timer(CHART_SECONDS, alarm.chart)


class _Alarm:
    """The page's places; each is drawn anew only when what it shows has changed, so that focus stays where it is."""

    def __init__(self, operator: Operator, violation_id: str) -> None:
        self._operator, self._id = operator, violation_id
        self._answer: Mapping[str, Any] = {}
        self._metric: Mapping[str, Any] | None = None
        self._verdict = ui.element("section").classes("card verdict").props("aria-label=Verdict")
        with ui.element("div").classes("halves") as self._charts, ui.element("section").classes("card toolbar"):
            ui.spinner().props("aria-hidden=true")
            ui.label("Reading the metric history …").props("role=status")
        with ui.element("div").classes("halves"):
            with ui.element("section").classes("card"):
                heading("What happened")
                self._history = ui.element("ol").classes("steps")
            with ui.element("div"):
                self._facts = ui.element("section").classes("card").props("aria-label=Facts")
                self._verification = ui.element("section").classes("card spaced").props("aria-label=Verification")

    async def refresh(self) -> None:
        self.draw(await self._operator.do("fleetward", "DescribeViolation", violationId=self._id))

    def draw(self, answer: Mapping[str, Any]) -> None:
        before, self._answer = self._answer, answer
        if answer == before:
            return
        self._refill(self._verdict, self._draw_verdict)
        self._refill(self._facts, self._draw_facts)
        self._refill(self._history, self._draw_history)
        if not before or _verified(before) != _verified(answer):
            self._refill(self._verification, self._draw_verification)

    async def chart(self) -> None:
        if self._is_charted():
            return
        metric = await self._operator.do("fleetward", "DescribeViolationMetric", violationId=self._id)
        if metric != self._metric:
            self._metric = metric
            self._charts.clear()
            with self._charts:
                violation_charts.draw(metric, self._answer)

    def _is_charted(self) -> bool:
        """Whether nothing will be added: nothing comes from the device any more, and its window is closed."""
        found = self._answer["violation"]
        is_over = bool(found.get("endTime")) or found["isolated"]
        return is_over and self._metric is not None and bool(self._metric.get("distribution"))

    @staticmethod
    def _refill(place: ui.element, draw: Any) -> None:
        place.clear()
        with place:
            draw()

    # --- why, and what to do about it ---------------------------------------------------------------------------------

    def _draw_verdict(self) -> None:
        found = self._answer["violation"]
        state, tone = standing(found)
        with ui.element("div").classes("toolbar"):
            ui.label(state).classes(f"state {tone}").props("aria-live=polite")
            verified, verified_tone = verification(found["verificationState"])
            ui.label(f"Verification: {verified.lower()}").classes(f"state {verified_tone}")
        ui.label(_sentence(found)).classes("sentence")
        ui.label(f"{self._answer['alarmCondition']}.").classes("quiet")
        ui.label(f"{self._answer['expectedBehavior']}.").classes("quiet")
        self._draw_buttons(found)

    def _draw_buttons(self, found: Mapping[str, Any]) -> None:
        name = found["thingName"]
        if not found["registered"]:
            ui.label(f"{name} is not registered as a thing, so it cannot be isolated here.").classes("quiet")
            return
        with ui.element("div").classes("actions"):
            if found["isolated"] and self._operator.may("fleetward", "ReleaseThing", thingName=name):
                ui.button("Release …", on_click=self._release, icon="lock_open").props("unelevated no-caps")
            if not found["isolated"] and self._operator.may("fleetward", "QuarantineThing", thingName=name):
                ui.button("Isolate …", on_click=self._isolate, icon="block", color="negative").props(
                    "unelevated no-caps"
                )

    async def _isolate(self) -> None:
        name = self._answer["violation"]["thingName"]
        reason = await ask_reason(
            f"Isolate {name}?",
            "Its connection is dropped at once, and it cannot come back until it is released. Nothing else is touched.",
            "Isolate",
        )
        if reason is not None:
            await self._operator.do("fleetward", "QuarantineThing", thingName=name, reason=reason or None)
            told(f"{name} is isolated.")
            await self.refresh()

    async def _release(self) -> None:
        name = self._answer["violation"]["thingName"]
        reason = await ask_reason(
            f"Release {name}?",
            "It may connect again at once. Its open alarms end; if it goes on as before, it is alarmed anew.",
            "Release",
            dangerous=False,
        )
        if reason is not None:
            await self._operator.do("fleetward", "ReleaseThing", thingName=name, reason=reason or None)
            told(f"{name} is released.")
            await self.refresh()

    # --- what people make of it ---------------------------------------------------------------------------------------

    def _draw_verification(self) -> None:
        found = self._answer["violation"]
        heading("Verification")
        now, tone = verification(found["verificationState"])
        with ui.element("div").classes("toolbar"):
            ui.label(now).classes(f"state {tone}")
            ui.label(found.get("verificationStateDescription") or "Nobody has said anything about it yet.")
        if not self._operator.may("iot", "PutVerificationStateOnViolation"):
            return
        said = ui.input("What you found (optional)", value=found.get("verificationStateDescription") or "")
        said.props("outlined dense maxlength=1000").classes("wide")
        with ui.element("div").classes("actions").props("role=group aria-label='Set the verification state'"):
            for state, title in VERIFICATIONS.items():
                ui.button(title, on_click=lambda state=state: self._verify(state, said.value)).props(
                    f"outline no-caps aria-pressed={'true' if state == found['verificationState'] else 'false'}"
                )

    async def _verify(self, state: str, description: str | None) -> None:
        await self._operator.do(
            "iot",
            "PutVerificationStateOnViolation",
            violationId=self._id,
            verificationState=state,
            verificationStateDescription=description or None,
        )
        told(f"Verified: {VERIFICATIONS[state].lower()}.")
        await self.refresh()

    # --- facts and history --------------------------------------------------------------------------------------------

    def _draw_facts(self) -> None:
        heading("Facts")
        found, why = self._answer["violation"], json.loads(self._answer["violation"]["explanationDocument"])
        profile = found["securityProfileName"]
        with ui.element("dl").classes("facts"):
            with _fact("Device"):
                if found["registered"]:
                    ui.link(found["thingName"], f"/things/{found['thingName']}")
                else:
                    ui.label(f"{found['thingName']} (not registered)")
            with _fact("Security profile"):
                ui.link(profile, f"/profiles/{profile}")
            _moments(self._answer, why)
            for name, text in _evidence(self._answer, why).items():
                if text:
                    with _fact(name):
                        ui.label(text)
            with _fact("Alarm id"):
                ui.label(found["violationId"]).classes("code")

    def _draw_history(self) -> None:
        for step in history(self._answer):
            _draw_step(step)


def _sentence(found: Mapping[str, Any]) -> str:
    return f"{found['thingName']}: {found['explanation'] or 'why is no longer known'}."


def _verified(answer: Mapping[str, Any]) -> tuple[Any, Any]:
    found = answer["violation"]
    return found["verificationState"], found.get("verificationStateDescription")


def _fact(name: str) -> ui.element:
    with ui.element("dt"):
        ui.label(name)
    return ui.element("dd")


def _moments(answer: Mapping[str, Any], why: Mapping[str, Any]) -> None:
    found, begin, end = answer["violation"], why.get("windowStart"), why.get("windowEnd")
    times = {
        "Raised": found["startTime"],
        "Ended": found.get("endTime"),
        "Isolated since": answer.get("isolatedTime"),
        "Window began": begin if begin != end else None,
        "Window ended" if begin != end else "Reported": end,
        "Last violating value": answer["lastViolationTime"],
    }
    for name, time in times.items():
        if time is not None:
            with _fact(name):
                Moment(time)


def _evidence(answer: Mapping[str, Any], why: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the verdict; an alarm of long ago may lack some."""
    criteria = json.loads(answer["behaviorDocument"]).get("criteria", {})
    to_alarm, to_clear = (criteria.get(f"consecutiveDatapointsTo{what}", 1) for what in ("Alarm", "Clear"))
    targets = ", ".join(arn.rsplit(":", 1)[-1] for arn in answer["alertTargetArns"])
    return {
        "Why it ended": answer["violation"].get("endReason") or "",
        "Decided": "as soon as the limit was crossed, before the window's end" if why.get("early") else "",
        "Compared with": _population(why),
        "Published to": "; ".join(
            f"{one['topic']}: {quantity(one['bytes'], 'bytes')} in {quantity(one['messages'], 'messages')}"
            for one in why.get("topics", ())
        ),
        "Alarms after": quantity(to_alarm, "violating datapoints") + " in a row" * (to_alarm > 1),
        "Clears after": quantity(to_clear, "normal datapoints") + " in a row" * (to_clear > 1),
        "Alerts to": "nobody: alerts are suppressed" if answer["alertsSuppressed"] else targets or "nobody",
    }


def _population(why: Mapping[str, Any]) -> str:
    if why.get("statistic") is None:
        return ""
    rank = f", rank {why['rank']}" if why.get("rank") is not None else ""
    return f"{why['statistic']} of {quantity(why.get('population', 0), 'other devices')}{rank}"


def _draw_step(step: Step) -> None:
    with ui.element("li").classes(f"step {step.tone}"):
        ui.icon(step.icon).props("aria-hidden=true")
        with ui.element("div").classes("step-text"):
            with ui.element("div").classes("step-title"):
                ui.label(step.title)
                for text, path in step.links:
                    ui.link(text, path)
                if step.status:
                    ui.label(step.status).classes(f"state {step.tone}")
            if step.detail:
                ui.label(step.detail).classes("quiet")
            with ui.element("div").classes("quiet"):
                Moment(step.time)
