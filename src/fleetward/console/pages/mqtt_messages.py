"""The messages that a page watches: kept by the browser, the latest few hundred of them, never by the server."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from nicegui import ui

from fleetward.console.parts import figures
from fleetward.console.parts.moment import millis


class Messages(ui.element, component="mqtt_messages.js"):
    def __init__(self) -> None:
        super().__init__()
        self._keys = count()
        self.show_as("text")

    def show_as(self, format: str) -> None:
        """`text`, `json` or `hex`."""
        self._props["format"] = format
        self.update()

    def add(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Messages as GetWatchedMessages gives them."""
        self.run_method("add", [self._told(message) for message in messages])

    def clear_all(self) -> None:
        self.run_method("clear")

    def _told(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "key": next(self._keys),
            "topic": message["topic"],
            "payload": base64.b64encode(message["payload"]).decode(),
            "whole": len(message["payload"]) == message["size"],
            "size": figures.size(message["size"]),
            "qos": message["qos"],
            "retain": message["retain"],
            "sender": message["clientId"] or "",
            "time": millis(message["time"]),
        }
