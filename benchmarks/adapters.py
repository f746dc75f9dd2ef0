"""Turns what a benchmark writes in a form of its own into the parts of a results file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from report import Growth, Part, ratios

Adapter = Callable[[Any], list[dict[str, Any]]]

API_HOW = (
    "The same signed requests to each server, on 8 keep-alive connections that each wait for their answer; and "
    "through one boto3 client, which is itself most of what that measures. Fleetward verifies every signature and "
    "keeps everything in SQLite with synchronous FULL; the others verify none and keep everything in memory. Ratios "
    "are taken round by round. A store of a million things is written offline."
)
API_NOTE = "It is found by an index; a page is read from where the one before ended."
BESIDE = (
    ("DescribeThing", "moto_server", 10),
    ("DescribeThing", "ministack", 1.5),
    ("ListThings(100)", "moto_server", 5),
)


def api(found: dict[str, Any]) -> list[dict[str, Any]]:
    part = Part("api", "The AWS door", API_HOW, told={"versions": found.get("versions", {})})
    beside, scale = found["peers"], found["scale"]
    for work, peer, least in BESIDE:
        if peer not in beside.get(work, ()):
            continue
        part.add(f"{work}: times {peer}", "×", ratios(beside[work]["fleetward"], beside[work][peer]), at_least=least)
    for work, servers in beside.items():
        for server, rates in servers.items():
            bound = {"at_least": 1_000} if (work, server) == ("CreateThing", "fleetward") else {}
            part.add(f"{work}: {server}", "/s", rates, **bound)
    for work, rates in scale.items():
        (few, fast), *_, (many, slow) = rates.items()
        part.add(f"{work}: time with {many} over {few}", "×", ratios(fast, slow), at_most=1.5)
        micros = {int(name.split()[0].replace(",", "")): [1e6 / one for one in each] for name, each in rates.items()}
        part.growth.append(Growth(work, "µs an answer", "things", micros, API_NOTE))
    part.told |= found.get("missing", {})
    return [asdict(part)]


DETECTION_HOW = (
    "Through the product's own functions, in a process of its own for each size: 8 metrics, 10 behaviours, three of "
    "them percentiles, two durations whose windows end together. Five rounds within that process."
)

CLOSE_NOTE = (
    "Whole arrays, one pass for each behaviour; percentiles sort, which is n log n, and the arrays leave the caches."
)
ALARMED_NOTE = "Each alarm is an object of its own, which costs more than judging the thing."
TICK_NOTE = (
    "It grows with the things touched, whose arrays leave the processor's caches; at most 100,000 are touched, so "
    "that from there on it does not grow with the fleet."
)


def detection(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    part = Part("detection", "Detection", DETECTION_HOW)
    metering, *sizes = found
    part.add("metering one message", "µs", [metering["metering_us"]])
    few = {int(one["things"]): one for one in sizes[::2]}
    many = {int(one["things"]): one for one in sizes[1::2]}
    for kind, by_size, most in (("1 % alarmed", few, 300), ("60 % alarmed", many, 800)):
        largest = max(by_size)
        one, goals = by_size[largest], largest == 1_000_000
        part.add(
            f"close, {largest:,} things, {kind}", "ms", one["close_rounds_ms"], **({"at_most": most} if goals else {})
        )
    one = few[max(few)]
    part.add("ingest in batches of 100,000", "/s", one["ingest_rounds"], at_least=20e6)
    part.add("early tick over 100,000 touched things", "ms", one["tick_rounds_ms"], at_most=15)
    part.add("memory beyond the inputs, at most", "MB", [one["peak_mb"]], at_most=400)
    for name, key, by_size, note in (
        ("both closes, 1 % alarmed", "close_rounds_ms", few, CLOSE_NOTE),
        ("both closes, 60 % alarmed", "close_rounds_ms", many, ALARMED_NOTE),
        ("early tick", "tick_rounds_ms", few, TICK_NOTE),
    ):
        part.growth.append(Growth(name, "ms", "things", {size: one[key] for size, one in by_size.items()}, note))
    return [asdict(part)]


HISTORY_HOW = (
    "10,000 things with 14 days of windows of 300 s, in the product's own tables; everything measured is the "
    "product's own function. Medians of 25 rounds; the back-test runs once."
)
HISTORY = (
    ("append of one window, 8 metrics of every thing", "append_ms", "ms", 20),
    ("append of a list for every thing", "append_lists_ms", "ms", None),
    ("append of one report's value", "append_report_ms", "ms", None),
    ("one metric of one thing over 14 days", "values_ms", "ms", 60),
    ("back-test of one profile over everything", "backtest_s", "s", 15),
)


def history(found: dict[str, float]) -> list[dict[str, Any]]:
    part = Part("history", "History and back-test", HISTORY_HOW)
    for name, key, unit, most in HISTORY:
        part.add(name, unit, [found[key]], **({"at_most": most} if most else {}))
    return [asdict(part)]
