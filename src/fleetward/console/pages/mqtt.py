"""The MQTT test client: what passes on topics, live, and what is refused on them meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from fleetward import errors
from fleetward.console.operator import Operator
from fleetward.console.pages.mqtt_messages import Messages
from fleetward.console.parts import figures
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import Moment
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import page

LIVE_SECONDS = 1
"""Reading a watch costs a look into memory; it is open only while somebody subscribes."""

MOST_FILTERS = 5
FORMATS = {"text": "Text", "json": "JSON", "hex": "Hex"}


@page("/mqtt", "MQTT test client")
async def mqtt(operator: Operator, topic: str = "") -> None:
    """`topic`: what the fields begin with."""
    with ui.element("div").classes("halves"):
        with ui.element("section").classes("card stack"):
            subscriptions = _Subscriptions(operator, topic)
        with ui.element("section").classes("card stack"):
            _Publisher(operator, topic)
    with ui.element("section").classes("card apart mqtt-traffic"):
        subscriptions.draw_traffic()


class _Publisher:
    def __init__(self, operator: Operator, topic: str) -> None:
        self._operator = operator
        heading("Publish to a topic")
        self._topic = ui.input("Topic name", value=topic).props("outlined dense maxlength=256").classes("wide")
        self._payload = ui.textarea("Message payload", value='{"message": "Hello from Fleetward"}')
        self._payload.props("outlined dense autogrow input-style='max-height: 12rem'").classes("wide")
        with ui.element("div").classes("toolbar"):
            options = {0: "QoS 0 – at most once", 1: "QoS 1 – at least once"}
            self._qos = ui.select(options, value=0, label="Quality of Service").props("outlined dense").classes("field")
            self._retain = ui.checkbox("Retain")
            self._button = ui.button("Publish", on_click=self._publish).props("unelevated no-caps")
        self._needs = ui.label("Your policies do not let you publish there: it takes iot:Publish on the topic.")
        self._needs.classes("quiet")
        self._topic.on_value_change(self._offer)
        self._offer()

    def _offer(self) -> None:
        """Anew with every letter: policies may allow some topics only."""
        may = self._operator.may("iot-data", "Publish", topic=(self._topic.value or "").strip() or "a")
        self._button.set_enabled(may)
        self._needs.set_visibility(not may)

    async def _publish(self) -> None:
        topic = self._topic.value.strip()
        if not topic:
            raise errors.Validation("Enter the name of the topic to publish to.")
        payload, retain = (self._payload.value or "").encode(), bool(self._retain.value) or None
        await self._operator.do("iot-data", "Publish", topic=topic, payload=payload, qos=self._qos.value, retain=retain)
        told(f"Published {figures.size(len(payload))} to {topic}.")


class _Subscriptions:
    """What the page subscribes to: one watch with all its filters, begun anew whenever they change."""

    def __init__(self, operator: Operator, topic: str) -> None:
        self._operator = operator
        self._filters: list[str] = []
        self._watch: str | None = None
        self._paused = False
        self._received = self._skipped = 0
        self._told: object = None
        heading("Subscribe to a topic")
        self._filter = ui.input("Topic filter", value=topic).props("outlined dense maxlength=256").classes("wide")
        self._filter.on("keydown.enter", self._subscribe)
        ui.label("+ stands for one level, # for all that follow: sensors/+/temperature, sensors/#").classes("quiet")
        with ui.element("div").classes("toolbar"):
            ui.button("Subscribe", on_click=self._subscribe).props("unelevated no-caps")
        self._list = ui.element("div").props("role=list aria-label=Subscriptions").classes("wide")
        self._timer = ui.timer(LIVE_SECONDS, self._read, active=False)

    def draw_traffic(self) -> None:
        with ui.element("div").classes("toolbar"):
            heading("Messages")
            self._count = ui.label().classes("quiet").props("aria-live=polite")
            ui.space()
            shown = ui.toggle(FORMATS, value="text").props("no-caps unelevated dense padding='xs sm'")
            shown.props("aria-label='Show payloads as'")
            self._pause = ui.button("Pause", icon="pause", on_click=self._toggle).props("flat no-caps")
            ui.button("Clear", icon="clear_all", on_click=self._clear).props("flat no-caps")
        with ui.element("div") as self._refused:
            pass
        with ui.element("div") as self._nothing:
            empty("No messages yet", "Subscribe to a topic: what is published from then on appears here.", "forum")
        self._messages = Messages()
        shown.on_value_change(lambda event: self._messages.show_as(event.value))

    # --- subscribing --------------------------------------------------------------------------------------------------

    async def _subscribe(self) -> None:
        text = self._filter.value.strip()
        if not text:
            raise errors.Validation("Enter a topic filter, such as sensors/#.")
        if text in self._filters:
            return
        if len(self._filters) >= MOST_FILTERS:
            raise errors.Validation(f"{MOST_FILTERS} subscriptions at a time; end one of them first.")
        await self._change([*self._filters, text])

    async def _change(self, filters: list[str]) -> None:
        old, self._watch = self._watch, None
        if filters:
            try:
                begun = await self._operator.do("fleetward", "WatchTopics", topicFilters=filters)
            except errors.Refusal:
                self._watch = old
                raise
            self._watch = begun["watchId"]
        self._filters = filters
        self._timer.active = bool(filters)
        if old is not None:
            await self._end(old)
        self._draw_list()

    async def _end(self, watch: str) -> None:
        try:
            await self._operator.do("fleetward", "UnwatchTopics", watchId=watch)
        except errors.ResourceNotFound:
            pass  # it ended by itself

    def _draw_list(self) -> None:
        self._list.clear()
        with self._list:
            for text in self._filters:
                rest = [other for other in self._filters if other != text]
                with ui.element("div").classes("line").props("role=listitem"):
                    ui.label(text).classes("mono")
                    ui.space()
                    end = ui.button("Unsubscribe", on_click=lambda rest=rest: self._change(rest))
                    end.props("flat dense no-caps").props["aria-label"] = f"Unsubscribe from {text}"

    # --- what passes --------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        if self._watch is None:
            return
        try:
            seen = await self._operator.do("fleetward", "GetWatchedMessages", watchId=self._watch)
        except errors.ResourceNotFound:  # the gateway was started anew, or the browser slept
            self._watch = None
            await self._change(self._filters)
            return
        except errors.Refusal:
            self._timer.active = False
            raise
        self._show(seen)

    def _show(self, seen: Mapping[str, Any]) -> None:
        messages: Sequence[Mapping[str, Any]] = seen["messages"]
        if self._paused:
            self._skipped += len(messages)
        elif messages:
            self._received += len(messages)
            self._nothing.set_visibility(False)
            self._messages.add(messages)
        self._say(seen["missed"])
        if seen["denials"] != self._told:
            self._told = seen["denials"]
            self._draw_refused(seen["denials"])

    def _say(self, missed: int = 0) -> None:
        parts = [f"{figures.number(self._received)} received"]
        parts += [f"{figures.number(self._skipped)} skipped while paused"] * (self._skipped > 0)
        parts += [f"{figures.number(missed)} passed too quickly to be shown"] * (missed > 0)
        self._count.set_text(", ".join(parts))

    def _toggle(self) -> None:
        self._paused = not self._paused
        self._pause.set_text("Resume" if self._paused else "Pause")
        self._pause.set_icon("play_arrow" if self._paused else "pause")

    def _clear(self) -> None:
        self._received = self._skipped = 0
        self._messages.clear_all()
        self._nothing.set_visibility(True)
        self._say()

    def _draw_refused(self, denials: Sequence[Mapping[str, Any]]) -> None:
        self._refused.clear()
        if not denials:
            return
        total = sum(denial["count"] for denial in denials)
        with self._refused, ui.element("section").classes("notice warn").props("aria-label='Refused meanwhile'"):
            ui.icon("block").props("aria-hidden=true")
            with ui.element("div").classes("wide"):
                heading(f"{figures.number(total)} refused meanwhile", 3)
                for denial in denials:
                    _draw_denial(denial)


def _draw_denial(denial: Mapping[str, Any]) -> None:
    device, times = denial["device"] or "Further devices", figures.number(denial["count"])
    what = f"{times} refused" if denial["action"] == "iot:Publish" else f"connection ended or refused {times}×"
    with ui.element("div").classes("line"):
        ui.label(f"{device}: {what}" + (f", {denial['reason']}" if denial["reason"] else ""))
        with ui.element("span").classes("quiet"):
            Moment(denial["lastTime"])
