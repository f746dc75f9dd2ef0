"""Calling a function by hand: an event in, its answer and its log out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from fleetward.console.operator import Operator
from fleetward.console.parts.heading import heading

ALERT = {"violationEventType": "in-alarm", "thingName": "SensorDevice02"}
EVENTS = {
    "An empty event": {},
    "An alert from a topic": {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(ALERT)}}]},
}


def draw(operator: Operator, name: str) -> None:
    if not operator.may("lambda", "Invoke", FunctionName=name):
        return
    heading("Test event")
    with ui.element("div").classes("card fields"):
        sample = ui.select(list(EVENTS), value="An empty event", label="Start from").props("outlined dense")
        event = ui.textarea("Event (JSON)", value="{}").props("outlined dense input-class=code-input").classes("wide")
        sample.on_value_change(lambda: event.set_value(json.dumps(EVENTS[sample.value], indent=2)))
        button = ui.button("Test", icon="play_arrow").props("unelevated no-caps")
        result = ui.element("div").props("aria-live=polite")

    async def test() -> None:
        button.props("loading")
        try:
            payload = (event.value or "{}").encode()
            answer = await operator.do("lambda", "Invoke", FunctionName=name, Payload=payload, LogType="Tail")
        finally:
            button.props(remove="loading")
        result.clear()
        with result:
            _show(answer)

    button.on_click(test)


def _show(answer: Mapping[str, Any]) -> None:
    failed = answer.get("FunctionError") is not None
    state = ui.label("The function failed" if failed else "The function succeeded")
    state.classes(f"state {'bad' if failed else 'good'}").props("role=status")
    TextElement(tag="pre", text=_readable(answer["Payload"])).classes("log")
    ui.label("Log").classes("quiet")
    TextElement(tag="pre", text=base64.b64decode(answer["LogResult"]).decode(errors="replace")).classes("log")


def _readable(payload: bytes) -> str:
    """An error with its traceback as Python prints it; anything else as indented JSON."""
    text = payload.decode(errors="replace")
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if isinstance(document, dict) and "errorMessage" in document:
        error = f"{document.get('errorType', 'Error')}: {document['errorMessage']}"
        return "\n".join((error, *(line.rstrip("\n") for line in document.get("stackTrace") or ())))
    return json.dumps(document, indent=2, ensure_ascii=False)
