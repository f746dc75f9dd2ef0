"""The shape of the house: a pure core, and no import cycles."""

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
PACKAGE = SOURCE / "fleetward"

CORE = (
    "model.py",
    "records.py",
    "errors.py",
    "arn.py",
    "policy/*.py",
    "meter/*.py",
    "detect/kernel.py",
    "detect/criteria.py",
    "detect/percentile.py",
    "detect/profiles.py",
    "detect/state.py",
    "detect/slots.py",
    "detect/windows.py",
    "detect/streaks.py",
    "detect/topics.py",
    "detect/coverage.py",
    "detect/explain.py",
    "detect/inputs.py",
    "detect/outcome.py",
    "alarm/lifecycle.py",
    "alarm/message.py",
    "alarm/words.py",
    "registry/view.py",
    "respond/isolation.py",
    "shadows/document.py",
    "shadows/request.py",
    "shadows/answers.py",
    "console/condition.py",
    "console/profile_draft.py",
    "gateway/codec.py",
    "gateway/broker.py",
    "gateway/guard.py",
    "gateway/topics.py",
    "gateway/doors.py",
)
IO = {
    "asyncio",
    "duckdb",
    "httpx",
    "os",
    "pathlib",
    "select",
    "selectors",
    "shutil",
    "socket",
    "sqlalchemy",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uvicorn",
}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        if "sources" in path.parts or "migrations" in path.parts:
            continue
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def top_level_imports(path: Path) -> set[str]:
    """What a module imports when it is imported, TYPE_CHECKING blocks and function bodies left out."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            found.add(statement.module)
            found |= {f"{statement.module}.{alias.name}" for alias in statement.names}
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.dump(statement.test):
            waiting += statement.body + statement.orelse
        elif isinstance(statement, ast.Try | ast.ClassDef):
            waiting += statement.body
    return found


def core_files() -> list[Path]:
    return sorted(path for pattern in CORE for path in PACKAGE.glob(pattern))


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_does_no_io(path: Path) -> None:
    """A core module imports nothing that does I/O or tells the time."""
    roots = {name.split(".")[0] for name in top_level_imports(path)}
    assert not roots & IO


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_asks_nobody_the_time(path: Path) -> None:
    """A core module never calls a clock of datetime's: `now` is an argument."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    clocks = [
        call
        for call in calls
        if isinstance(call, ast.Attribute)
        and call.attr in CLOCKS
        and isinstance(call.value, ast.Name)
        and call.value.id in ("datetime", "date", "time")
    ]
    assert not clocks


def test_every_core_pattern_names_something() -> None:
    """The list of core modules has no stale entry."""
    assert all(list(PACKAGE.glob(pattern)) for pattern in CORE)


def test_no_import_cycles() -> None:
    """No module imports itself by way of others."""
    known = modules()
    graph = {name: {target for target in top_level_imports(path) if target in known} for name, path in known.items()}
    for name, targets in graph.items():
        # `from fleetward.x import y` names both the package and, often, a module; a package's own file is not a cycle.
        graph[name] = {target for target in targets if target != name and not name.startswith(f"{target}.")}
    done: set[str] = set()

    def visit(name: str, line: tuple[str, ...]) -> None:
        assert name not in line, " → ".join((*line[line.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*line, name))
            done.add(name)

    sys.setrecursionlimit(5_000)
    for name in sorted(graph):
        visit(name, ())


def test_rooms_do_not_know_the_app() -> None:
    """Only the server knows the wiring; no room imports it."""
    for name, path in modules().items():
        if name != "fleetward.server" and not name.startswith("fleetward.app"):
            assert not {one for one in top_level_imports(path) if one.startswith("fleetward.app")}, name
