"""Handlers under awslambdaric, called and failing in every way they can."""

import asyncio
import json

import pytest
from function_house import ROLE, House

from fleetward.errors import ResourceNotFound

STORY = """
    import boto3
    import json

    iot = boto3.client('iot')

    def handler(event, context):
    \tmessage = event['Records'][0]['Sns']['Message']
    \td = json.loads(message)
    \tthing = d['thingName']

    \taddThing = iot.add_thing_to_thing_group(
        \tthingGroupName=os.environ['ThingGroupName'],
    \tthingName=thing
    \t)
"""

FAILURES = {
    "raises": ("def handler(e, c): raise KeyError('thingName')", "KeyError", "'thingName'"),
    "imports what is not there": ("import nope", "Runtime.ImportModuleError", "No module named 'nope'"),
    "does not parse": ("def handler(e, c:\n  pass", "Runtime.UserCodeSyntaxError", "Syntax error in module 'm'"),
    "has another name": ("def other(e, c): pass", "Runtime.HandlerNotFound", "Handler 'handler' missing"),
    "fails while it is imported": ("1 / 0", "ZeroDivisionError", "division by zero"),
    "leaves": ("import sys\ndef handler(e, c): sys.exit(3)", "Runtime.ExitError", "exit status 3"),
    "leaves at once": ("import os\ndef handler(e, c): os._exit(0)", "Runtime.ExitError", "without providing a reason"),
    "crashes": (
        "import os\ndef handler(e, c): os.kill(os.getpid(), 11)",
        "Runtime.ExitError",
        "signal: segmentation fault",
    ),
    "never ends": ("def handler(e, c):\n while True: pass", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    "takes all memory": ("def handler(e, c): return len(bytearray(700 << 20))", "MemoryError", ""),
    "answers too much": (
        "def handler(e, c): return 'x' * 7_000_000",
        "Function.ResponseSizeTooLarge",
        "exceeded maximum allowed payload size (6291556 bytes)",
    ),
    "answers what is no JSON": ("def handler(e, c): return {1, 2}", "Runtime.MarshalError", "not JSON serializable"),
}


async def test_event_and_answer_are_the_handlers_own(house: House) -> None:
    """A handler gets the event as it was sent and AWS's context, and its return value is the answer."""
    house.make("def handler(e, c): return [e, c.function_name, c.memory_limit_in_mb, c.invoked_function_arn]")
    result = await house.functions.invoke("f", '{"a": [1, "ü"]}'.encode())
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    assert json.loads(result.payload) == [{"a": [1, "ü"]}, "f", "128", arn]
    assert (result.status, result.function_error) == (200, None)


async def test_environment_is_lambdas_and_the_functions_own(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process sees Lambda's variables and its Environment, and nothing of the server: no variable, no open file."""
    monkeypatch.setenv("FLEETWARD_ROOT_SECRET_ACCESS_KEY", "leak")
    source = """
        import os
        def link(name):
            try:
                return os.readlink('/proc/self/fd/' + name)
            except FileNotFoundError:
                return ''
        def handler(e, c):
            return dict(os.environ), [link(name) for name in os.listdir('/proc/self/fd')], os.getcwd()
    """
    house.make(source, environment={"ThingGroupName": "IsolatedDevices"})
    environment, files, folder = json.loads((await house.functions.invoke("f", b"{}")).payload)
    assert "leak" not in environment.values()
    assert environment["ThingGroupName"] == "IsolatedDevices"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:7700"
    assert environment["AWS_SESSION_TOKEN"] == f"{ROLE}|f"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/f"
    assert environment["_HANDLER"] == "m.handler"
    assert environment["LAMBDA_TASK_ROOT"] == folder
    assert {file for file in files if file.startswith("/")} == {"/dev/null"}
    assert len(files) < 8, "standard streams, and what awslambdaric needs for one connection"
    own = {"PATH", "LANG", "TZ", "HOME", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "PYTHONUSERBASE", "_HANDLER"}
    own |= {"ThingGroupName"}
    assert {name for name in environment if not name.startswith(("AWS_", "LAMBDA_"))} <= own | {"LC_CTYPE"}


async def test_libraries_import(house: House) -> None:
    """boto3 finds Fleetward without a word of configuration, and paho-mqtt imports."""
    house.make("import boto3, paho.mqtt.client\ndef handler(e, c): return boto3.client('iot').meta.endpoint_url")
    assert json.loads((await house.functions.invoke("f", b"{}")).payload) == "http://127.0.0.1:7700"


async def test_the_story_without_import_os(house: House) -> None:
    """The story's own handler fails as on AWS: NameError in the answer, and with its traceback in the log."""
    house.make(STORY, environment={"ThingGroupName": "IsolatedDevices"})
    event = {"Records": [{"Sns": {"Message": json.dumps({"thingName": "SensorDevice02"})}}]}
    result = await house.functions.invoke("f", json.dumps(event).encode())
    error = json.loads(result.payload)
    assert (error["errorType"], error["errorMessage"]) == ("NameError", "name 'os' is not defined")
    assert error["requestId"] == result.request_id
    assert "os.environ['ThingGroupName']" in error["stackTrace"][0]
    assert result.function_error == "Unhandled"
    assert result.error == "NameError: name 'os' is not defined"
    assert "[ERROR] NameError: name 'os' is not defined\nTraceback (most recent call last):" in house.log()


@pytest.mark.parametrize("case", FAILURES)
async def test_failures(house: House, case: str) -> None:
    """Whatever a handler does, its caller gets AWS's error document, and the next event finds a sound process."""
    source, error_type, text = FAILURES[case]
    house.make(source, timeout=1)
    result = await house.functions.invoke("f", b"{}")
    error = json.loads(result.payload)
    assert error["errorType"] == error_type
    assert text in error["errorMessage"]
    assert result.function_error == "Unhandled"
    assert f"START RequestId: {result.request_id}" in house.log()
    house.edit("def handler(e, c): return 'well'")
    assert (await house.functions.invoke("f", b"{}")).payload == b'"well"'


ENDS = {
    "in the middle of an event": (
        "import os\ndef handler(e, c): os._exit(1)",
        "Runtime exited with error: exit status 1",
    ),
    "while it is imported": ("import os\nos._exit(1)", "Runtime exited with error: exit status 1"),
    "without a word": ("raise SystemExit", "Runtime exited without providing a reason"),
}


@pytest.mark.parametrize("case", ENDS)
async def test_a_process_that_ends_names_the_request(house: House, case: str) -> None:
    """Whenever a process ends, the answer and the log tell which request it failed, in AWS's words."""
    source, reason = ENDS[case]
    house.make(source, timeout=5)
    result = await house.functions.invoke("f", b"{}")
    told = f"RequestId: {result.request_id} Error: {reason}"
    assert json.loads(result.payload) == {"errorType": "Runtime.ExitError", "errorMessage": told}
    assert f"{told}\nRuntime.ExitError" in house.log()
    assert "RequestId:  " not in house.log()
    if case != "in the middle of an event":
        assert "Phase: init\tStatus: error\tError Type: Runtime.ExitError" in house.log()


async def test_failed_process_is_replaced_without_an_edit(house: House) -> None:
    """After a process has ended in the middle of an event, the next event finds a new one."""
    house.make("import os\ndef handler(e, c): os._exit(1) if e else None\n")
    assert (await house.functions.invoke("f", b"1")).function_error
    assert (await house.functions.invoke("f", b"0")).payload == b"null"


async def test_process_that_leaves_between_events(house: House) -> None:
    """An event never fails because the process is ending after the one before."""
    # awslambdaric gives up after an answer that was refused for its size.
    house.make("def handler(e, c): return 'x' * 7_000_000 if e else 'well'")
    for _ in range(3):
        large, small = await asyncio.gather(house.functions.invoke("f", b"1"), house.functions.invoke("f", b"0"))
        assert large.error is not None
        assert small.payload == b'"well"'


async def test_unknown_function(house: House) -> None:
    """A function that does not exist is refused, not failed."""
    with pytest.raises(ResourceNotFound):
        await house.functions.invoke("f", b"{}")


async def test_process_stays_warm(house: House) -> None:
    """Events of one function are handled by one process, one after the other."""
    house.make("import os\nseen = []\ndef handler(e, c): seen.append(e); return [os.getpid(), seen]")
    results = await asyncio.gather(*(house.functions.invoke("f", str(n).encode()) for n in range(20)))
    answers = [json.loads(result.payload) for result in results]
    assert len({pid for pid, _ in answers}) == 1
    assert max(answers, key=lambda answer: len(answer[1]))[1] == list(range(20))


async def test_edit_bites_at_once(house: House) -> None:
    """Events after an edit go to the new code, while the event under way is finished by the old."""
    house.make("import time\ndef handler(e, c):\n if e: print('begun'); time.sleep(1)\n return 'old'")
    assert (await house.functions.invoke("f", b"0")).payload == b'"old"'
    slow = asyncio.create_task(house.functions.invoke("f", b"1"))
    waiting = asyncio.create_task(house.functions.invoke("f", b"0"))
    await asyncio.sleep(0.1)
    house.edit("def handler(e, c): return 'new'")
    assert (await house.functions.invoke("f", b"0")).payload == b'"new"'
    assert not slow.done()
    assert (await slow).payload == b'"old"'
    assert (await waiting).payload == b'"new"'


async def test_edit_starts_the_new_process_by_itself(house: House) -> None:
    """What a new version prints while it is imported is in the log before anybody calls it."""
    house.make("print('imported')\ndef handler(e, c): pass")
    for _ in range(500):
        if "imported" in house.log():
            return
        await asyncio.sleep(0.01)
    pytest.fail("never imported")


async def test_concurrency_is_bounded(tmp_path) -> None:
    """No more functions run at once than the setting says."""
    house = House(tmp_path, concurrency=2)
    await house.functions.start()
    source = "import time\ndef handler(e, c): t = time.time(); time.sleep(0.1); return [t, time.time()]"
    for n in range(5):
        house.make(source, f"f{n}")
    results = await asyncio.gather(*(house.functions.invoke(f"f{n}", b"{}") for n in range(5)))
    spans = [json.loads(result.payload) for result in results]
    assert all(sum(begin <= moment < end for begin, end in spans) <= 2 for moment, _ in spans)
    await house.stop()


async def test_keys_are_renewed(house: House) -> None:
    """A process whose role's keys are about to end is replaced before the next event."""
    house.keys_expire_in = 1000
    house.make("import os\ndef handler(e, c): return os.getpid()")
    first, second = [(await house.functions.invoke("f", b"{}")).payload for _ in range(2)]
    assert first != second


async def test_a_caller_that_leaves_does_not_disturb(house: House) -> None:
    """An invocation whose caller no longer waits ends in peace, and the process handles the next one."""
    house.make("import os, time\ndef handler(e, c): time.sleep(e); return os.getpid()")
    pid = (await house.functions.invoke("f", b"0")).payload
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(house.functions.invoke("f", b"0.3"), 0.1)
    assert (await house.functions.invoke("f", b"0")).payload == pid


async def test_no_memory_of_what_is_not_there(house: House) -> None:
    """Calling functions that do not exist leaves nothing behind, however many names are tried."""
    for number in range(20):
        with pytest.raises(ResourceNotFound):
            await house.functions.invoke(f"none-{number}", b"{}")
    assert not house.functions._pool._slots
