"""An editor for code, light or dark as the page is."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui

THEME = "Quasar.Dark.isActive ? 'githubDark' : 'githubLight'"
"""Asked in the browser, which knows what the system wants, and asked again when that or the person's choice changes."""

NAME = """
for (let tries = 0; tries < 100; tries++) {
  const content = getHtmlElement(%d)?.querySelector(".cm-content");
  if (content) { content.setAttribute("aria-label", %s); break; }
  await new Promise((done) => setTimeout(done, 100));
}
"""


class Code(ui.codemirror):
    """`label` is its name for screen readers, which CodeMirror's own element bears."""

    def __init__(self, text: str, label: str, **given: Any) -> None:
        super().__init__(text, line_wrapping=True, **given)
        self.props[":theme"] = THEME
        ui.timer(0.2, lambda: ui.run_javascript(NAME % (self.id, json.dumps(label))), once=True)
