"""Every operation that is served, through boto3 against a running server: valid input works, and each breach of the
service model is refused in AWS's way.

Inputs are derived from the model, so an operation is tested as soon as it is served; one that needs more than its model
tells gets a row in operation_inputs.INPUTS.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from botocore.session import get_session
from model_inputs import TOKENS, Breach, breaches
from operation_inputs import CALLERS, inputs
from stock import Stock

from fleetward.api import coverage, models, operations
from running_server import RunningServer

SERVED = [(service, operation) for service in operations.REGISTRY for operation in coverage.served(service)]

COMMON = {
    "AccessDenied",
    "AccessDeniedException",
    "InternalFailure",
    "InvalidAction",
    "InvalidParameterValue",
    "InvalidParameterException",
    "InvalidRequestException",
    "MalformedInput",
    "NotImplementedException",
    "NotImplemented",
    "RequestTooLargeException",
    "SerializationException",
    "UnknownOperationException",
    "ValidationError",
    "ValidationException",
}
"""Codes that any service may answer with (AWS: Common Errors of each API reference)."""


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    folder = tmp_path_factory.mktemp("every-operation")
    server = RunningServer(folder, FLEETWARD_HTTP_SUBSCRIBERS="none", FLEETWARD_LOG_LEVEL="warning")
    made = Stock(server, folder)
    yield made
    made.close()
    log = server.log.read_text()
    server.close()
    assert "Traceback" not in log, log


@cache
def unchecked(server: RunningServer, service: str) -> Any:
    """A boto3 client that sends whatever it is told to, once."""
    core = get_session()
    core.get_component("data_loader").search_paths.append(str(models.FOLDER))
    session = boto3.Session(server.info.access_key_id, server.info.secret_access_key, botocore_session=core)
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, inject_host_prefix=False, proxies={})
    return session.client(service, region_name=server.info.region, endpoint_url=server.info.endpoint_url, config=config)


def model_of(service: str, operation: str) -> OperationModel:
    return models.service(service).model.operation_model(operation)


@cache
def known_codes(service: str) -> frozenset[str]:
    """The codes that a client of the service can make sense of."""
    shapes = models.service(service).model.error_shapes
    modelled = {(shape.metadata.get("error") or {}).get("code", shape.name) for shape in shapes}
    return frozenset(COMMON | modelled | {shape.name for shape in shapes})


@pytest.mark.parametrize(("service", "operation"), SERVED)
def test_valid_input_succeeds(stock: Stock, service: str, operation: str) -> None:
    """An operation that is called as its model says, on things that exist, succeeds."""
    caller = CALLERS.get(f"{service}.{operation}")
    client = caller(stock) if caller else stock.server.client(service)
    answer = getattr(client, xform_name(operation))(**inputs(stock, model_of(service, operation)))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] < 300


@pytest.mark.parametrize(("service", "operation"), SERVED)
def test_every_breach_of_the_model_is_refused(stock: Stock, service: str, operation: str) -> None:
    """Each constraint of the model, broken on its own, gives a 4xx with a code of the service that names the member."""
    model = model_of(service, operation)
    base = inputs(stock, model)
    wrong = [told for breach in breaches(model, base) if (told := complaint(stock.server, model, breach))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("service", "operation"), SERVED)
def test_a_token_that_nobody_gave_out_is_refused(stock: Stock, service: str, operation: str) -> None:
    """An invented or foreign token for the next page is a 4xx that names the token, never the first page again."""
    model = model_of(service, operation)
    tokens = [name for name in TOKENS if model.input_shape is not None and name in model.input_shape.members]
    if operation.startswith(("List", "Get", "Describe", "Filter")) and tokens:
        base = inputs(stock, model)
        for text in ("garbage", "Zm9vYmFyYmF6", "eyJhIjoxfQ=="):
            breach = Breach(f"invented token {text}", tokens[0], {**base, tokens[0]: text})
            assert not complaint(stock.server, model, breach)


def complaint(server: RunningServer, model: OperationModel, breach: Breach) -> str:
    """What is wrong with the answer to `breach`; empty when it is refused as it should be."""
    service = model.service_model.service_name
    try:
        answer = getattr(unchecked(server, service), xform_name(model.name))(**breach.params)
        told_as_result = (service, model.name) in operations.LENIENT and not answer["valid"]
        return "" if told_as_result else f"{breach}: accepted"
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if not 400 <= status < 500:
        return f"{breach}: answered with {status} {code}: {message}"
    if code not in known_codes(service):
        return f"{breach}: {code} is no code of {service}: {message}"
    if breach.member.lower() not in message.lower():
        return f"{breach}: not named in {code}: {message}"
    return ""
