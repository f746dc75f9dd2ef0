"""Turns what a benchmark writes in a form of its own into the parts of a results file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from report import Part, ratios

Adapter = Callable[[Any], list[dict[str, Any]]]

API_HOW = (
    "The same signed requests to each server, on 8 keep-alive connections that each wait for their answer; and through "
    "one boto3 client, which is itself most of what that measures. Fleetward verifies every signature and keeps "
    "everything in SQLite with synchronous FULL; the others verify none and keep everything in memory. Ratios are "
    "taken round by round. A store of a million things is written offline."
)
BESIDE = (
    ("DescribeThing", "moto_server", 10),
    ("DescribeThing", "ministack", 1.5),
    ("ListThings(100)", "moto_server", 5),
)


def api(found: dict[str, Any]) -> list[dict[str, Any]]:
    part = Part("api", "The AWS door", API_HOW, told={"versions": found.get("versions", {})})
    beside, scale = found["peers"], found["scale"]
    for work, peer, least in BESIDE if beside else ():
        part.add(f"{work}: times {peer}", "×", ratios(beside[work]["fleetward"], beside[work][peer]), at_least=least)
    for work, servers in beside.items():
        for server, rates in servers.items():
            bound = {"at_least": 1_000} if (work, server) == ("CreateThing", "fleetward") else {}
            part.add(f"{work}: {server}", "/s", rates, **bound)
    for work, rates in scale.items():
        (few, fast), (many, slow) = rates.items()
        part.add(f"{work}: time with {many} over {few}", "×", ratios(fast, slow), at_most=1.5)
    return [asdict(part)]


API: tuple[tuple[str, ...], Adapter] = (("--rounds", "2", "--seconds", "1", "--things", "20000"), api)
