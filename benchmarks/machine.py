"""The machine a benchmark ran on, as far as it bears on the figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

LIBRARIES = ("fleetward", "uvloop", "numpy", "duckdb", "sqlalchemy", "cryptography", "botocore")


def describe() -> dict[str, Any]:
    """Processor, memory, system, versions, and what else the machine was doing when the run began."""
    return {
        "processor": _after_colon("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": os.cpu_count(),
        "memory GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{_distribution()}, {platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "load before": round(os.getloadavg()[0], 2),
        "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "unknown distribution"


def _after_colon(path: str, name: str) -> str:
    text = Path(path).read_text() if Path(path).exists() else ""
    return next((line.partition(": ")[2] for line in text.splitlines() if line.startswith(name)), "")
