"""kill -9 in the middle of publishing and delivering."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

from notify_helpers import FUNCTION, Receiver, house

CHILD = Path(__file__).with_name("crashing_child.py")


async def test_every_committed_message_arrives_after_kill_9(tmp_path: Path, endpoint: Receiver) -> None:
    """What was published before a kill -9 is delivered later under the MessageId it had; to functions exactly once."""
    clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
    home = house(tmp_path, clock)
    topic = home.topic()
    await home.notifier.start()
    home.subscribe(topic, "http", endpoint.url)
    await home.until(lambda: endpoint.requests)
    home.confirm(topic, endpoint.requests.pop().json["Token"])
    home.subscribe(topic, "lambda", FUNCTION)
    await home.notifier.stop()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, str(CHILD), str(tmp_path), topic), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    promised = []
    while len(promised) < 60:
        line = (await child.stdout.readline()).decode().split()
        if len(line) == 1:
            promised.append(line[0])
        if len(promised) == 40:
            endpoint.script = [0]
    child.kill()
    await child.wait()
    promised += [line for line in (await child.stdout.read()).decode().splitlines() if len(line) == 36]
    endpoint.hold.set()
    endpoint.script = [200]
    before = {request.json["MessageId"] for request in endpoint.requests}
    assert not before.issuperset(promised)
    await home.notifier.start()
    await home.until(lambda: home.notifier.counts()["pending"] == 0)
    await home.notifier.stop()
    received = Counter(request.json["MessageId"] for request in endpoint.requests)
    assert set(promised) <= set(received)
    assert max(received.values()) <= 2
    handed_over = Counter(event["Records"][0]["Sns"]["MessageId"] for _, event, _ in home.functions.queued)
    assert set(promised) <= set(handed_over)
    assert set(handed_over.values()) == {1}
    home.database.close()
