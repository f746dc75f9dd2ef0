"""The form of one behaviour: its alarm condition, and under it what is stored, what is wrong and what to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from nicegui import ui

from fleetward.console import condition
from fleetward.console.condition import Condition
from fleetward.console.parts.heading import heading
from fleetward.detect.behavior_checks import AVERAGE, STATISTICS
from fleetward.detect.lint import PORTABLE_DURATIONS
from fleetward.meter.metrics import Kind, Metric
from fleetward.model import LIST_KINDS, SetOperator, ValueKind

ABSOLUTE, STATISTICAL = "Absolute value", "Statistical threshold"
NO_DURATION, OWN_DURATION = 0, -1
MINUTES = {seconds: f"{seconds // 60} minutes" for seconds in PORTABLE_DURATIONS}
WHOLE, PER_MINUTE = "in the whole duration", "per minute"
FIELD = "outlined dense options-dense"
TYPED = "outlined dense debounce=300"


@dataclass(frozen=True, slots=True)
class Choices:
    """What a behaviour may be about: metrics by name, custom ones included, and the names of dimensions."""

    metrics: Mapping[str, Metric]
    dimensions: Sequence[str] = ()

    def labels(self) -> dict[str, str]:
        return {
            name: metric.label if name != metric.label else f"{name} (custom)" for name, metric in self.metrics.items()
        }


class BehaviorForm:
    """Drawn once; what depends on the metric and the check type is shown and hidden."""

    def __init__(
        self,
        choices: Choices,
        start: Condition,
        changed: Callable[[], Awaitable[None]],
        remove: Callable[[BehaviorForm], Awaitable[None]],
    ) -> None:
        self._choices = choices
        self._exported = start.exports
        self._changed = changed
        self._adapting = False
        self.touched = bool(start.name)
        with ui.element("section").classes("card behavior") as self.card:
            with ui.element("div").classes("behavior-head"):
                heading("Behavior", 3)
                ui.button("Remove", icon="close", on_click=lambda: remove(self)).props("flat dense no-caps")
            self._name = self._typed("Behavior name", start.name).props("maxlength=128 hint='Such as LargeMessageSize'")
            with ui.element("div").classes("field-row"):
                self._draw_measure(start)
                self._draw_threshold(start)
                self._draw_time(start)
            self._suppress = ui.checkbox("Record only: send no alerts for this behavior", value=start.suppress_alerts)
            self._suppress.on_value_change(self._note)
            self._exports = ui.checkbox(
                "Export its metric, to the MQTT topic of the next step", value=bool(start.exports)
            )
            self._exports.on_value_change(self._note)
            self._scaled = ui.label().classes("quiet")
            self._draw_answers()
        self._adapt()

    # --- the fields ---------------------------------------------------------------------------------------------------

    def _draw_measure(self, start: Condition) -> None:
        ui.label("Alarm when").classes("lead-in")
        labels = self._choices.labels()
        labels.setdefault(start.metric, start.metric)
        self._metric = self._select("Metric", labels, start.metric)
        dimensions = {"": "All topics"}
        for name in self._choices.dimensions:
            dimensions |= {f"IN:{name}": f"Only on {name}", f"NOT_IN:{name}": f"Outside {name}"}
        self._dimension = self._select("Dimension", dimensions, start.dimension)
        check = ABSOLUTE if start.statistic is None else STATISTICAL
        self._check = self._select("Check type", [ABSOLUTE, STATISTICAL], check)

    def _draw_threshold(self, start: Condition) -> None:
        ui.label("is").classes("lead-in")
        offered = {operator: condition.LABELS[operator] for operator in condition.operators(self._measured(start))}
        self._operator = self._select("Operator", offered, start.operator)
        statistics = {name: name for name in STATISTICS} | {AVERAGE: "Average"}
        self._statistic = self._select("Statistical threshold", statistics, start.statistic or "p50")
        single = start.value if isinstance(start.value, int | float) else None
        listed = start.value if isinstance(start.value, tuple) else ()
        self._value = ui.number("Value", value=single, on_change=self._note).props(TYPED)
        self._per = self._select("Value is", [WHOLE, PER_MINUTE], WHOLE)
        self._elements = ui.textarea("Elements, one a line", value="\n".join(map(str, listed)), on_change=self._note)
        self._elements.props(f"{TYPED} autogrow")

    def _draw_time(self, start: Condition) -> None:
        self._over = ui.label("over").classes("lead-in")
        seconds = start.duration_seconds or NO_DURATION
        durations = {**MINUTES, OWN_DURATION: "Custom …"}
        chosen = seconds if seconds in MINUTES else OWN_DURATION if seconds else NO_DURATION
        self._duration = self._select("Duration", {NO_DURATION: "None", **durations}, chosen)
        self._seconds = ui.number("Seconds", value=seconds or 300, min=5, max=86_400, on_change=self._note).props(TYPED)
        ui.label("after").classes("lead-in")
        self._to_alarm = self._datapoints("Datapoints to alarm", start.datapoints_to_alarm)
        self._to_clear = self._datapoints("Datapoints to clear", start.datapoints_to_clear)

    def _draw_answers(self) -> None:
        with ui.element("div").classes("sentences").props("aria-live=polite"):
            self._alarms = ui.label().classes("alarm-sentence")
            self._stored = ui.label().classes("quiet")
        self._complaints = ui.element("ul").classes("complaints").props("role=alert")
        self._advice = ui.element("ul").classes("advice").props("aria-live=polite")

    def _select(self, label: str, options: Any, value: Any) -> ui.select:
        return ui.select(options, label=label, value=value, on_change=self._note).props(FIELD)

    def _typed(self, label: str, value: str) -> ui.input:
        return ui.input(label, value=value, on_change=self._note).props(TYPED)

    def _datapoints(self, label: str, value: int) -> ui.number:
        return ui.number(label, value=value, min=1, max=10, precision=0, on_change=self._note).props(TYPED)

    # --- what depends on what -----------------------------------------------------------------------------------------

    async def _note(self) -> None:
        if not self._adapting:
            self.touched = True
            self._adapt()
            await self._changed()

    def _adapt(self) -> None:
        self._adapting = True
        metric = self._measured()
        self._check.set_enabled(metric.statistical)
        if not metric.statistical:
            self._check.value = ABSOLUTE
        offered = {operator: condition.LABELS[operator] for operator in condition.operators(metric)}
        if self._operator.options != offered:
            chosen = self._operator.value if self._operator.value in offered else next(iter(offered))
            self._operator.set_options(offered, value=chosen)
        self._adapt_duration(metric)
        self._show_what_applies(metric)
        self._adapting = False

    def _adapt_duration(self, metric: Metric) -> None:
        durations = {**MINUTES, OWN_DURATION: "Custom …"}
        if not condition.needs_duration(metric, self._is_statistical):
            durations = {NO_DURATION: "None, each report" if metric.kind is Kind.GAUGE else "None", **durations}
        if self._duration.options != durations:
            chosen = self._duration.value if self._duration.value in durations else 300
            self._duration.set_options(durations, value=chosen)

    def _show_what_applies(self, metric: Metric) -> None:
        is_list, timed = metric.value in LIST_KINDS, condition.takes_duration(metric)
        absolute = not self._is_statistical
        self._dimension.set_visibility(metric.takes_dimension and bool(self._choices.dimensions))
        self._statistic.set_visibility(not absolute)
        self._value.set_visibility(absolute and not is_list)
        self._value.props(f'suffix="{metric.unit}"')
        self._elements.set_visibility(is_list)
        adds_up = absolute and condition.adds_up(metric)
        self._per.set_visibility(adds_up)
        self._over.set_visibility(timed)
        self._duration.set_visibility(timed)
        self._seconds.set_visibility(timed and self._duration.value == OWN_DURATION)
        self._scaled.set_text(self._how_compared(metric, adds_up, absolute))

    def _how_compared(self, metric: Metric, adds_up: bool, absolute: bool) -> str:
        if adds_up and self._per.value == PER_MINUTE and self._value.value is not None:
            seconds = self._duration_seconds() or 300
            total = condition.over_duration(self._value.value, seconds)
            return f"{self._value.value:,g} {metric.unit} a minute over {seconds:,} seconds = {total:,} {metric.unit}"
        if metric.kind is Kind.SIZE:
            return (
                "The absolute value is compared with each single message, as on AWS."
                if absolute
                else "The sizes of all messages in the duration are added up and compared with those of all other "
                "devices, so no number is needed."
            )
        return ""

    @property
    def _is_statistical(self) -> bool:
        return bool(self._check.value == STATISTICAL)

    def _measured(self, start: Condition | None = None) -> Metric:
        name = self._metric.value
        return self._choices.metrics[name] if name in self._choices.metrics else (start or Condition(name)).measured

    # --- what it says -------------------------------------------------------------------------------------------------

    def read(self) -> Condition:
        metric = self._measured()
        return Condition(
            name=self._name.value.strip(),
            metric=self._metric.value,
            operator=self._operator.value,
            kind=metric.value,
            statistic=self._statistic.value if self._is_statistical else None,
            value=None if self._is_statistical else self._read_value(metric),
            duration_seconds=self._duration_seconds() if condition.takes_duration(metric) else None,
            datapoints_to_alarm=_whole(self._to_alarm.value),
            datapoints_to_clear=_whole(self._to_clear.value),
            dimension=self._dimension.value if metric.takes_dimension else "",
            suppress_alerts=self._suppress.value,
            exports=self._exports.value or (None if self._exported is None else False),
        )

    def _read_value(self, metric: Metric) -> Any:
        if metric.value in LIST_KINDS:
            return condition.elements(self._elements.value or "", metric.value) or None
        value = self._value.value
        if value is None:
            return None
        if condition.adds_up(metric) and self._per.value == PER_MINUTE:
            return condition.over_duration(value, self._duration_seconds() or 300)
        return _whole_if_it_is(value)

    def _duration_seconds(self) -> int | None:
        chosen = self._duration.value
        if chosen == OWN_DURATION:
            return _whole(self._seconds.value)
        return chosen or None

    def lacks(self) -> str:
        """What must be filled in first."""
        if not self._name.value.strip():
            return "Give the behavior a name."
        if not self._is_statistical and self._read_value(self._measured()) is None:
            is_list = isinstance(self._operator.value, SetOperator)
            return "Give the elements of the set." if is_list else "Give a value."
        return self._no_number()

    def _no_number(self) -> str:
        metric = self._measured()
        if metric.value not in (ValueKind.PORTS, ValueKind.NUMBERS):
            return ""
        wrong = [one for one in self._read_value(metric) or () if isinstance(one, str)]
        return f"{wrong[0]} is not a number." if wrong else ""

    def tell(self, complaints: Sequence[str], margin_percent: float) -> None:
        """What is wrong; when nothing is, the condition in words and what is stored of it."""
        _fill(self._complaints, complaints)
        if not complaints:
            read = self.read()
            self._alarms.set_text(condition.alarm_sentence(read, margin_percent))
            self._stored.set_text(f"Stored as the expected behavior: {condition.normal_sentence(read)}")

    def advise(self, advice: Sequence[Mapping[str, Any]]) -> None:
        _fill(self._advice, [one["text"] for one in advice], [one["level"] for one in advice])

    def focus(self) -> None:
        self._name.run_method("focus")


def _fill(place: ui.element, lines: Sequence[str], kinds: Sequence[str] = ()) -> None:
    place.clear()
    with place:
        for line, kind in zip_longest(lines, kinds, fillvalue=""):
            with ui.element("li").classes(kind):
                ui.label(line)


def _whole(value: float | None) -> int:
    return 0 if value is None else round(value)


def _whole_if_it_is(value: float) -> float:
    return int(value) if value == int(value) else value
