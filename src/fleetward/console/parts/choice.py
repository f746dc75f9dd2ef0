"""A choice that is there at once."""

from __future__ import annotations

from typing import Any

from nicegui import events, ui


class Choice(ui.select):
    """A select for several choices, or for options that change while somebody chooses.

    NiceGUI's own shows a choice when the server has answered, so that a second one made before replaces the first; and
    it knows a choice by its place among the options, which are others once the server has found better ones.
    """

    LOOPBACK = None

    def __init__(self, *options: Any, **given: Any) -> None:
        super().__init__(*options, **given)
        show = f"(chosen) => mounted_app.elements[{self.id}].props['model-value'] = chosen"
        self.on("update:model-value", js_handler=show)

    def _event_args_to_value(self, e: events.GenericEventArguments) -> Any:
        values = dict(zip(self._labels, self._values, strict=True))
        if isinstance(e.args, list):
            return [values[one["label"]] for one in e.args if one["label"] in values]
        return values.get(e.args["label"]) if isinstance(e.args, dict) else None
