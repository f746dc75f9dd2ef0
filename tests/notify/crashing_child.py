"""A process that publishes, reports each committed message id on its output, and is killed on the way."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path

from notify_helpers import house


async def main(folder: Path, topic: str) -> None:
    home = house(folder, lambda: time.time_ns() // 1_000_000)
    await home.notifier.start()
    for number in itertools.count():
        print(home.publish(topic, f"alarm {number}"), flush=True)
        await asyncio.sleep(0)


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
