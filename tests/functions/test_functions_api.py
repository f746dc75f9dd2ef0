"""The lambda, logs and events operations, from validated parameters to what goes on the wire."""

import asyncio
import base64
import json
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import pytest
import sqlalchemy as sa
from function_house import ARNS, ROLE, House, now, until, zipped

from fleetward.access.authorizer import Authorizer
from fleetward.access.keyring import KeyRing
from fleetward.api import functions, logs, models, schedules
from fleetward.api.call import Call, Caller, Rooms
from fleetward.api.serialise import serialise
from fleetward.api.validate import validate
from fleetward.errors import Refusal
from fleetward.store.tables.access import roles
from fleetward.store.tables.functions import invocations

MODULES = {"lambda": functions, "logs": logs, "events": schedules}
CODE = {"ZipFile": zipped(m="def handler(e, c): print('got', e); return e")}
FUNCTION = {"FunctionName": "f", "Runtime": "python3.12", "Handler": "m.handler", "Role": ROLE, "Code": CODE}

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)

Ask = Callable[..., Any]


@pytest.fixture
def ask(house: House) -> Ask:
    """`await ask("lambda", "create_function", …)`: the result, checked against the model's output shape."""
    rooms = Rooms(
        settings=house.functions._settings,
        arns=ARNS,
        clock=now,
        database=house.database,
        keys=KeyRing(house.database),
        authorizer=Authorizer(house.database, ARNS),
        functions=house.functions,
    )
    with house.database.transaction(now()) as tx:
        role = {
            "name": "function",
            "id": "AROA1",
            "path": "/",
            "description": "",
            "trust_policy": TRUST,
            "created_at": 0,
        }
        tx.execute(sa.insert(roles).values(role))

    async def ask(service: str, operation: str, **params: Any) -> dict[str, Any]:
        model = models.service(service).model
        name = next(n for n in model.operation_names if n.lower() == operation.replace("_", ""))
        shape = model.operation_model(name)
        validate(shape, params)
        call = Call(rooms, shape, params, Caller(ARNS.root, ARNS.account), now(), "an-id")
        result = getattr(MODULES[service], operation)(call)
        result = await result if isawaitable(result) else result
        serialise(shape, result, "an-id")
        return {key: value for key, value in (result or {}).items() if value is not None}

    return ask


async def refused(asked: Any) -> tuple[str, int]:
    with pytest.raises(Refusal) as caught:
        await asked
    return caught.value.code, caught.value.status


async def test_a_functions_life(ask: Ask) -> None:
    """A function is created, described, changed, listed and deleted as on AWS."""
    made = await ask("lambda", "create_function", **FUNCTION, Timeout=5, Environment={"Variables": {"A1": "x"}})
    assert made["FunctionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:f"
    assert (made["State"], made["Version"], made["CodeSize"]) == ("Active", "$LATEST", len(CODE["ZipFile"]))
    found = await ask("lambda", "get_function", FunctionName=made["FunctionArn"])
    assert found["Configuration"]["RevisionId"] == made["RevisionId"]
    changed = await ask("lambda", "update_function_configuration", FunctionName="f", MemorySize=256)
    assert (changed["MemorySize"], changed["Timeout"], changed["Environment"]["Variables"]) == (256, 5, {"A1": "x"})
    cleared = await ask("lambda", "update_function_configuration", FunctionName="f", Environment={})
    assert "Environment" not in {key for key, value in cleared.items() if value}
    coded = await ask("lambda", "update_function_code", FunctionName="f", ZipFile=zipped(m="x = 1"))
    assert coded["CodeSha256"] != made["CodeSha256"]
    assert [item["FunctionName"] for item in (await ask("lambda", "list_functions"))["Functions"]] == ["f"]
    await ask("lambda", "delete_function", FunctionName="f")
    assert await refused(ask("lambda", "get_function", FunctionName="f")) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Role": ARNS.role("none")}, "InvalidParameterValueException"),
        ({"Runtime": "nodejs20.x"}, "InvalidParameterValueException"),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, "InvalidParameterValueException"),
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException"),
    ],
)
async def test_refused_functions(ask: Ask, changes: dict[str, Any], code: str) -> None:
    """A role or code that is not there, another runtime and what would be silently without effect are refused."""
    assert (await refused(ask("lambda", "create_function", **FUNCTION | changes)))[0] == code


async def test_invoke(ask: Ask) -> None:
    """Invoke waits for the answer, and gives the log's tail when it is asked for."""
    await ask("lambda", "create_function", **FUNCTION)
    result = await ask("lambda", "invoke", FunctionName="f", Payload=b'{"a":1}', LogType="Tail")
    assert (result["StatusCode"], result["Payload"], result["ExecutedVersion"]) == (200, b'{"a": 1}', "$LATEST")
    assert "got {'a': 1}" in base64.b64decode(result["LogResult"]).decode()
    assert (await ask("lambda", "invoke", FunctionName="f", InvocationType="DryRun"))["StatusCode"] == 204


async def test_invoke_that_fails(ask: Ask) -> None:
    """A handler's error is an answer with status 200, the mark Unhandled and AWS's error document."""
    await ask("lambda", "create_function", **FUNCTION | {"Code": {"ZipFile": zipped(m="def handler(e, c): os")}})
    result = await ask("lambda", "invoke", FunctionName="f")
    assert (result["StatusCode"], result["FunctionError"]) == (200, "Unhandled")
    assert json.loads(result["Payload"])["errorType"] == "NameError"


async def test_invoke_later(ask: Ask, house: House) -> None:
    """An Event is answered at once and carried out all the same."""
    await ask("lambda", "create_function", **FUNCTION)
    assert await ask("lambda", "invoke", FunctionName="f", InvocationType="Event", Payload=b"1") == {"StatusCode": 202}
    await until(lambda: "got 1" in house.log())
    with house.database.read() as look:
        assert look.one(sa.select(invocations))["source"] == "api"


async def test_refused_invokes(ask: Ask) -> None:
    """A payload that is no JSON and a function that is not there are refused."""
    await ask("lambda", "create_function", **FUNCTION)
    bad = ask("lambda", "invoke", FunctionName="f", Payload=b"{")
    assert await refused(bad) == ("InvalidRequestContentException", 400)
    assert await refused(ask("lambda", "invoke", FunctionName="g")) == ("ResourceNotFoundException", 404)
    assert await refused(ask("lambda", "invoke", FunctionName="f", Qualifier="7")) == ("ResourceNotFoundException", 404)


async def test_policy(ask: Ask) -> None:
    """Permissions are added, shown as a policy document and removed."""
    await ask("lambda", "create_function", **FUNCTION)
    assert await refused(ask("lambda", "get_policy", FunctionName="f")) == ("ResourceNotFoundException", 404)
    added = await ask(
        "lambda",
        "add_permission",
        FunctionName="f",
        StatementId="sns",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=ARNS.topic("BadIoTDevices"),
    )
    assert json.loads(added["Statement"]) == {
        "Sid": "sns",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:sns:us-east-1:123456789012:BadIoTDevices"}},
    }
    policy = json.loads((await ask("lambda", "get_policy", FunctionName="f"))["Policy"])
    assert policy["Statement"] == [json.loads(added["Statement"])]
    await ask("lambda", "remove_permission", FunctionName="f", StatementId="sns")


async def test_tags(ask: Ask) -> None:
    """A function's tags are kept by its ARN."""
    arn = (await ask("lambda", "create_function", **FUNCTION, Tags={"team": "security"}))["FunctionArn"]
    await ask("lambda", "tag_resource", Resource=arn, Tags={"stage": "test"})
    await ask("lambda", "untag_resource", Resource=arn, TagKeys=["team"])
    assert (await ask("lambda", "list_tags", Resource=arn))["Tags"] == {"stage": "test"}


async def test_logs(ask: Ask) -> None:
    """What a function printed is found by group, stream, page and pattern."""
    await ask("lambda", "create_function", **FUNCTION)
    for payload in (b"1", b"2"):
        await ask("lambda", "invoke", FunctionName="f", Payload=payload)
    group = "/aws/lambda/f"
    (shown,) = (await ask("logs", "describe_log_groups", logGroupNamePrefix="/aws/lambda"))["logGroups"]
    assert (shown["logGroupName"], shown["storedBytes"] > 0) == (group, True)
    (stream,) = (await ask("logs", "describe_log_streams", logGroupName=group, orderBy="LastEventTime"))["logStreams"]
    name = stream["logStreamName"]
    first = await ask("logs", "get_log_events", logGroupName=group, logStreamName=name, startFromHead=True, limit=2)
    assert [event["message"].split()[0] for event in first["events"]] == ["START", "got"]
    token = first["nextForwardToken"]
    rest = await ask("logs", "get_log_events", logGroupName=group, logStreamName=name, nextToken=token)
    assert len(rest["events"]) == 6
    token = rest["nextForwardToken"]
    end = await ask("logs", "get_log_events", logGroupName=group, logStreamName=name, nextToken=token)
    assert (end["events"], end["nextForwardToken"]) == ([], token)
    last = await ask("logs", "get_log_events", logGroupName=group, logStreamName=name, limit=1)
    assert last["events"][0]["message"].startswith("REPORT")
    found = await ask("logs", "filter_log_events", logGroupIdentifier=shown["logGroupArn"], filterPattern="got")
    assert [event["message"] for event in found["events"]] == ["got 1", "got 2"]
    page = await ask("logs", "filter_log_events", logGroupName=group, filterPattern="got", limit=1)
    token = page["nextToken"]
    more = await ask("logs", "filter_log_events", logGroupName=group, filterPattern="got", limit=1, nextToken=token)
    assert [event["message"] for event in page["events"] + more["events"]] == ["got 1", "got 2"]


async def test_log_groups(ask: Ask) -> None:
    """Groups are created, given a retention and deleted."""
    await ask("logs", "create_log_group", logGroupName="g")
    again = ask("logs", "create_log_group", logGroupName="g")
    assert await refused(again) == ("ResourceAlreadyExistsException", 409)
    await ask("logs", "put_retention_policy", logGroupName="g", retentionInDays=7)
    assert (await ask("logs", "describe_log_groups"))["logGroups"][0]["retentionInDays"] == 7
    await ask("logs", "delete_log_group", logGroupName="g")
    assert (await refused(ask("logs", "delete_log_group", logGroupName="g")))[0] == "ResourceNotFoundException"


async def test_rules_and_targets(ask: Ask) -> None:
    """Rules are put, described, listed, disabled and deleted, and so are their targets."""
    arn = (await ask("events", "put_rule", Name="r", ScheduleExpression="rate(1 hour)", Description="d"))["RuleArn"]
    assert arn == "arn:aws:events:us-east-1:123456789012:rule/r"
    target = {"Id": "t", "Arn": ARNS.function("f"), "Input": '{"a": 1}'}
    assert (await ask("events", "put_targets", Rule="r", Targets=[target]))["FailedEntryCount"] == 0
    assert (await ask("events", "list_targets_by_rule", Rule="r"))["Targets"] == [target]
    await ask("events", "disable_rule", Name="r")
    shown = await ask("events", "describe_rule", Name="r")
    assert (shown["State"], shown["ScheduleExpression"], shown["Description"]) == ("DISABLED", "rate(1 hour)", "d")
    await ask("events", "enable_rule", Name="r")
    assert [rule["State"] for rule in (await ask("events", "list_rules", NamePrefix="r"))["Rules"]] == ["ENABLED"]
    assert (await refused(ask("events", "delete_rule", Name="r")))[0] == "ValidationException"
    assert (await ask("events", "remove_targets", Rule="r", Ids=["t", "u"]))["FailedEntryCount"] == 1
    await ask("events", "delete_rule", Name="r")
    assert (await refused(ask("events", "describe_rule", Name="r")))[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("operation", "params", "code"),
    [
        ("put_rule", {"Name": "r"}, "ValidationException"),
        ("put_rule", {"Name": "r", "ScheduleExpression": "rate(1 hours)"}, "ValidationException"),
        (
            "put_rule",
            {"Name": "r", "ScheduleExpression": "rate(1 hour)", "EventBusName": "x"},
            "ResourceNotFoundException",
        ),
        (
            "put_targets",
            {"Rule": "none", "Targets": [{"Id": "t", "Arn": ARNS.function("f")}]},
            "ResourceNotFoundException",
        ),
        ("put_targets", {"Rule": "r", "Targets": [{"Id": "t", "Arn": ARNS.topic("t")}]}, "ValidationException"),
        (
            "put_targets",
            {"Rule": "r", "Targets": [{"Id": "t", "Arn": ARNS.function("f"), "Input": "{"}]},
            "ValidationException",
        ),
        (
            "put_targets",
            {"Rule": "r", "Targets": [{"Id": "t", "Arn": ARNS.function("f"), "InputPath": "$.a"}]},
            "NotImplementedException",
        ),
    ],
)
async def test_refused_rules(ask: Ask, operation: str, params: dict[str, Any], code: str) -> None:
    """Expressions, targets and parameters that are wrong or not here are refused when they are stored."""
    assert (await refused(ask("events", operation, **params)))[0] == code


async def test_many_callers_of_one_function(ask: Ask) -> None:
    """Who would wait behind a hundred others is told to come back later."""
    code = {"ZipFile": zipped(m="import time\ndef handler(e, c): time.sleep(0.3)")}
    await ask("lambda", "create_function", **FUNCTION | {"Code": code})
    calls = [asyncio.create_task(ask("lambda", "invoke", FunctionName="f")) for _ in range(101)]
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    refusals = [task.exception() for task in done if task.exception()]
    assert [refusal.code for refusal in refusals] == ["TooManyRequestsException"]
    for task in waiting:
        task.cancel()
