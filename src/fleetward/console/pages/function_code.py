"""The source editor of a function: a file at a time, with what is likely wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.code import Code
from fleetward.console.parts.heading import heading
from fleetward.console.parts.notices import told

LANGUAGES = {"py": "Python", "json": "JSON", "md": "Markdown", "yaml": "YAML", "yml": "YAML", "js": "JavaScript"}


async def draw(operator: Operator, name: str, handler: str) -> None:
    heading("Function code")
    files = await operator.all("fleetward", "ListFunctionFiles", "files", functionName=name)
    paths = [file["path"] for file in files]
    main = f"{handler.rpartition('.')[0].replace('.', '/')}.py"
    await _Editor(operator, name, paths).open(main if main in paths else paths[0])


class _Editor:
    """The elements of the section, for whichever file is open."""

    def __init__(self, operator: Operator, function: str, paths: Sequence[str]) -> None:
        self._operator, self._function, self._revision, self._path = operator, function, "", ""
        self._may_save = operator.may("fleetward", "UpdateFunctionFile", functionName=function)
        with ui.element("div").classes("toolbar"):
            self._files = ui.select(list(paths), label="File", on_change=self._choose).props("outlined dense")
            ui.space()
            if self._may_save:
                ui.button("Save", icon="save", on_click=self.save).props("unelevated no-caps")
        self._code = Code("", "Function code", language="Python")
        self._code.classes("editor source-editor")
        if not self._may_save:
            self._code.disable()
        ui.label("Ctrl+S saves. Esc, then Tab leaves the editor.").classes("quiet hint")
        self._code.map_key("Mod-s", self.save)
        self._warnings = ui.element("div").props("aria-live=polite")

    async def open(self, path: str) -> None:
        shown = await self._operator.do("fleetward", "DescribeFunctionFile", functionName=self._function, path=path)
        self._path = path
        self._files.value = path
        self._code.language = LANGUAGES.get(path.rpartition(".")[2])  # type: ignore[assignment]
        self._code.value = shown["text"]
        self._tell(shown)

    async def save(self) -> None:
        if not self._may_save:
            return
        shown = await self._operator.do(
            "fleetward",
            "UpdateFunctionFile",
            functionName=self._function,
            path=self._path,
            text=self._code.value,
            revisionId=self._revision,
        )
        self._tell(shown)
        told(f"{self._path} is saved{_but(shown['warnings'])}.")

    async def _choose(self) -> None:
        if self._files.value and self._files.value != self._path:
            chosen, before = self._files.value, self._path
            self._files.value = before
            await self.open(chosen)

    def _tell(self, shown: Mapping[str, Any]) -> None:
        self._revision = shown["revisionId"]
        self._warnings.clear()
        if not shown["warnings"]:
            return
        with self._warnings, ui.element("section").classes("notice warn"):
            ui.icon("warning").props("aria-hidden=true")
            with ui.column().classes("gap-none"):
                for warning in shown["warnings"]:
                    ui.label(f"Line {warning['line']}: {warning['text']}")
                ui.label("It can be saved all the same; Python decides when it runs.").classes("quiet")


def _but(warnings: Sequence[Any]) -> str:
    count = len(warnings)
    return f", with {count} warning{'s' if count > 1 else ''}" if count else ""
