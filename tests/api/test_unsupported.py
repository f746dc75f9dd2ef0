"""Parameters that Fleetward does not support, through boto3: refused by name, never ignored in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from api_house import House
from api_server import Server
from fleetward import errors
from fleetward.api import models
from fleetward.api.unsupported import UNSUPPORTED, refuse_unsupported

EVERY = [(service, operation, name) for (service, operation), names in UNSUPPORTED.items() for name in names]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    house = House(tmp_path_factory.mktemp("unsupported"))
    running = Server(house)
    yield running
    running.close()
    house.close()


def refusal(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as found:
        call(**params)
    return found.value.response["Error"]["Code"], found.value.response["Error"]["Message"]


@pytest.mark.parametrize(("service", "operation", "name"), EVERY)
def test_what_is_not_supported_is_refused_by_name(service: str, operation: str, name: str) -> None:
    """A parameter of the table is refused with its own name and the operation's, and belongs to a service's model."""
    shapes = [models.service(service).model.operation_model(one).input_shape for _, one in UNSUPPORTED if _ == service]
    assert any(name in shape.members for shape in shapes)
    with pytest.raises(errors.NotImplementedHere, match=f"{name} of {operation}"):
        refuse_unsupported(service, operation, {name: ["something else"]})


@pytest.mark.parametrize(("service", "operation", "name"), EVERY)
def test_what_asks_for_nothing_passes(service: str, operation: str, name: str) -> None:
    """A parameter of the table that is empty, or that asks for what is done anyway, is no reason to refuse."""
    for value in ([], {}, "", False, 0, *UNSUPPORTED[service, operation][name]):
        refuse_unsupported(service, operation, {name: value})


def test_a_client_hears_which_parameter_is_the_matter(server: Server) -> None:
    """The refusal reaches the caller as NotImplementedException, whatever else is in the request."""
    function = {
        "FunctionName": "f",
        "Runtime": "python3.12",
        "Handler": "m.handler",
        "Role": "arn:aws:iam::123456789012:role/none",
        "Code": {"ZipFile": b"zip"},
    }
    create = server.client("lambda").create_function
    told = refusal(
        create, **function, PublishTo="LATEST_PUBLISHED", TenancyConfig={"TenantIsolationMode": "PER_TENANT"}
    )
    assert told == (
        "NotImplementedException",
        "Fleetward does not implement PublishTo, TenancyConfig of CreateFunction.",
    )
    told = refusal(server.client("sts").get_session_token, MinimumSessionTokenSize=4000)
    assert told == (
        "NotImplemented",
        "Fleetward does not implement MinimumSessionTokenSize of GetSessionToken.",
    )


def test_code_comes_from_nowhere_else(server: Server) -> None:
    """A key in a bucket, named beside the archive, is refused as any other source of code is."""
    update = server.client("lambda").update_function_code
    code, message = refusal(update, FunctionName="f", ZipFile=b"zip", S3Key="k")
    assert code == "InvalidParameterValueException"
    assert "S3Key" in message
