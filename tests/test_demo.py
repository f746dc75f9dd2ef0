"""`fleetward demo`: the first thing that every visitor runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """It ends with exit code 0, the bad sensor isolated and its twin not, and its folder removed."""
    command = [sys.executable, "-m", "fleetward", "demo", "--exit", "--window-seconds", "5"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "SensorDevice02 is isolated; SensorDevice01, which shares its certificate, is untouched." in told.stdout
    assert list(tmp_path.iterdir()) == []
