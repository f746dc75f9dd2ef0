"""A topic, a subscription and a real function: what the function does is seen on the delivery."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from notify_helpers import ARNS, FUNCTION, House, house

from fleetward.functions import catalog, permissions
from fleetward.functions.service import Functions

HANDLER = """
import json

def lambda_handler(event, context):
    thing = json.loads(event['Records'][0]['Sns']['Message'])['thingName']
    return os.environ['ThingGroupName'], thing
"""


def archive(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("lambda_function.py", source)
    return buffer.getvalue()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[House]:
    """The notify room beside the real functions room, with the story's function, which lacks `import os`."""
    home = house(tmp_path, lambda: time.time_ns() // 1_000_000)
    functions = Functions(
        home.database,
        home.settings,
        home.clock,
        ARNS,
        endpoint_url=lambda: home.base_url,
        issue_keys=lambda role, session: ("ASIAKEY", "secret", "token", home.clock() + 3_600_000),
        retry_delays=(20, 20),
    )
    doors = home.notifier._doors
    doors.enqueue, doors.may_invoke, doors.function_exists = functions.enqueue, functions.may_invoke, functions.exists
    role = ARNS.role("lambda")
    with home.database.transaction(home.clock()) as tx:
        handler = "lambda_function.lambda_handler"
        catalog.create(tx, "IsolateDevice", archive(HANDLER), runtime="python3.11", handler=handler, role=role)
    await functions.start()
    await home.notifier.start()
    yield home
    await home.notifier.stop()
    await functions.stop()
    home.database.close()


async def test_missing_import_shows_on_the_delivery(both: House) -> None:
    """Without AddPermission the log names the remedy; with it the function's NameError, after three attempts."""
    topic = both.topic()
    both.subscribe(topic, "lambda", FUNCTION)
    (row,) = await both.settled(both.publish(topic, '{"thingName":"SensorDevice02"}'))
    assert (row["status"], row["code"]) == ("failed", 403)
    assert "add-permission" in row["error"]
    with both.database.transaction(both.clock()) as tx:
        permissions.add(
            *(tx, ARNS, "IsolateDevice", "sns"),
            action="lambda:InvokeFunction",
            principal="sns.amazonaws.com",
            source_arn=topic,
        )
    message_id = both.publish(topic, '{"thingName":"SensorDevice02"}')
    await both.until(lambda: both.log(message_id=message_id)[0]["invocation_status"] == "failed", 20)
    (row,) = both.log(message_id=message_id)
    assert (row["status"], row["invocation_attempts"]) == ("handed over", 3)
    assert "NameError" in row["error"]
    assert "name 'os' is not defined" in row["error"]
