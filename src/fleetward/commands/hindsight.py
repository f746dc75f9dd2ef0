"""What `fleetward lint` and `fleetward backtest` print of the server's answers, and how they exit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def since(text: str, now: datetime) -> datetime:
    """The time that `14d`, `36h` or `90m` before `now` was; raises ValueError for anything else."""
    match = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if match is None:
        raise ValueError(f"{text} should be a number of minutes, hours or days, such as 90m, 36h or 14d")
    return now - timedelta(**{UNITS[match[2]]: int(match[1])})


def lint_lines(answer: Mapping[str, Any]) -> list[str]:
    """LintSecurityProfile's answer, a line a piece of advice."""
    lines = [f"{one['level']}: {one['behaviorName']}: {one['text']} [{one['code']}]" for one in answer["advice"]]
    return lines or [f"Nothing to say about it, for {answer['population']} things."]


def lint_exit_code(answer: Mapping[str, Any]) -> int:
    """1 when there is a warning."""
    return int(any(one["level"] == "warning" for one in answer["advice"]))


def backtest_lines(answer: Mapping[str, Any]) -> list[str]:
    """BacktestSecurityProfile's answer as a table; its `exitCode` is the command's."""
    lines = [f"{_period(answer)}: {_outcome(answer)}"]
    rows = [("DEVICE", "FIRST ALARM", "ISOLATED", "ALARMS", "WHY")]
    rows += [
        (
            device["thingName"],
            _moment(device["firstAlarmTime"]),
            _moment(device["isolatedTime"]) if device.get("isolatedTime") else "no",
            str(device["alarms"]),
            f"{device['behaviorName']}: {device['verdict']}",
        )
        for device in answer["devices"]
    ]
    if len(rows) > 1:
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]
    if hidden := answer["deviceCount"] - len(answer["devices"]):
        lines.append(f"... and {hidden} more.")
    lines += [f"Not replayed: {one['behaviorName']}: {one['reason']}." for one in answer["leftOut"]]
    return lines


def _period(answer: Mapping[str, Any]) -> str:
    start, begin = answer["startTime"], answer.get("historyTime")
    late = f", of which the history begins at {_moment(begin)}" if begin is not None and begin > start else ""
    return f"From {_moment(start)} to {_moment(answer['endTime'])}{late}"


def _outcome(answer: Mapping[str, Any]) -> str:
    """How many would have alarmed, and what would have become of them."""
    alarmed, isolated = answer["deviceCount"], answer["isolatedCount"]
    if not alarmed:
        return "nobody would have alarmed."
    devices = f"{alarmed:,} device{'' if alarmed == 1 else 's'} would have alarmed"
    if not isolated:
        return f"{devices}, and nobody been isolated: the profile has no alert target and no mitigation action."
    if isolated == alarmed:
        return f"{devices} and been isolated."
    return f"{devices}, and {isolated:,} of them been isolated."


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
