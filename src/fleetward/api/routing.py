"""From method and path to the operation, for services whose operations are told apart by URI (rest-json)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fleetward.api.request import Request


@dataclass(frozen=True, slots=True)
class Label:
    """A variable segment of a template: `{thingName}`, or `{arn+}` which takes the rest of the path."""

    name: str
    greedy: bool


@dataclass(frozen=True, slots=True)
class Route:
    """A template such as `/things/{thingName}/principals?List=ALL`, taken apart."""

    operation: str
    segments: tuple[str | Label, ...]
    query: tuple[tuple[str, str], ...]

    def labels(self, path: list[str], stretch: bool) -> dict[str, str] | None:
        """The decoded labels when the raw `path` fits, else None. With `stretch` the last label takes the rest."""
        last = self.segments[-1]
        if isinstance(last, Label) and (last.greedy or stretch):
            head = len(self.segments) - 1
            path = [*path[:head], "/".join(path[head:])] if len(path) > head else path
        if len(path) != len(self.segments):
            return None
        found = {}
        for segment, piece in zip(self.segments, path, strict=True):
            if isinstance(segment, Label):
                found[segment.name] = unquote(piece)
            elif segment != piece:
                return None
        return found


class Routes:
    """All routes of one service.

    The path is matched raw and its labels decoded afterwards, so `%2F` never splits a label. Clients also send topics
    and ARNs unencoded (`/topics/a/b`): when no template fits exactly, the last label takes the rest.
    """

    def __init__(self, operations: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        self._by_start: dict[tuple[str, str], list[Route]] = {}
        for operation, http in operations:
            template, _, query = http["requestUri"].partition("?")
            for path in {template, template.rstrip("/") or "/"}:
                self._add(http["method"], Route(operation, _segments(path), _constants(query)))
        for routes in self._by_start.values():
            routes.sort(key=_specificity)

    def match(self, request: Request) -> tuple[str, dict[str, str]]:
        """The operation's name and its labels; the name is empty when nothing fits."""
        path = request.path[1:].split("/")
        routes = self._by_start.get((request.method, path[0]), ())
        for stretch in (False, True):
            for route in routes:
                labels = route.labels(path, stretch)
                if labels is not None and all(request.query_values.get(name) == [value] for name, value in route.query):
                    return route.operation, labels
        return "", {}

    def _add(self, method: str, route: Route) -> None:
        start = route.segments[0]
        assert isinstance(start, str), "every template of these services starts with a literal"
        self._by_start.setdefault((method, start), []).append(route)


def _segments(template: str) -> tuple[str | Label, ...]:
    return tuple(
        Label(piece[1:-1].rstrip("+"), piece.endswith("+}")) if piece.startswith("{") else piece
        for piece in template[1:].split("/")
    )


def _constants(query: str) -> tuple[tuple[str, str], ...]:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return tuple((name, value) for name, _, value in pairs)


def _specificity(route: Route) -> tuple[int, list[bool]]:
    """Templates that ask for more come first: query constants, then literals before labels."""
    return -len(route.query), [isinstance(segment, Label) for segment in route.segments]
