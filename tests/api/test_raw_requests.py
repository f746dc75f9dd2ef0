"""Raw requests, damaged in every place, over a real socket: whatever comes, the answer is AWS's, and never a 5xx."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore import parsers
from raw_requests import Fuzzer, operations_of, plain
from raw_wire import Answer, Raw, Wire
from stock import BEHAVIOR, Stock
from stock_access import ALLOW_TEXT, TRUST_TEXT

from fleetward.api import models, operations
from running_server import RunningServer

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "8"))
"""Seeds that are tried; more for a longer run by hand."""

EACH = 600
"""Requests of a seed."""


@dataclass(frozen=True)
class Furnished:
    """A running server, and the names of what is in it."""

    server: RunningServer
    known: list[str]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    folder = tmp_path_factory.mktemp("fuzz")
    server = RunningServer(folder, FLEETWARD_HTTP_SUBSCRIBERS="none", FLEETWARD_LOG_LEVEL="warning")
    yield Furnished(server, furnish(Stock(server, folder)))
    log = server.log.read_text()
    assert server.stop() == 0
    assert "Traceback" not in log, log
    assert "request failed" not in log, log


def furnish(stock: Stock) -> list[str]:
    """One of everything, named a1 (which is what the model's names are made to be) or known by what is returned."""
    stock.iot.create_thing_type(thingTypeName="a1")
    stock.iot.create_thing(thingName="a1", thingTypeName="a1")
    stock.iot.create_thing_group(thingGroupName="a1")
    stock.iot.add_thing_to_thing_group(thingName="a1", thingGroupName="a1")
    stock.iot.create_policy(policyName="a1", policyDocument=ALLOW_TEXT)
    stock.iot.create_security_profile(securityProfileName="a1", behaviors=[BEHAVIOR])
    stock.sns.create_topic(Name="a1")
    stock.iam.create_user(UserName="a1")
    role = stock.iam.create_role(RoleName="a1", AssumeRolePolicyDocument=TRUST_TEXT)["Role"]["Arn"]
    code: Any = {"Code": {"ZipFile": stock.package}, "Runtime": "python3.12", "Handler": "main.handle"}
    stock.lambda_.create_function(FunctionName="a1", Role=role, **code)
    stock.logs.create_log_group(logGroupName="a1")
    stock.events.put_rule(Name="a1", ScheduleExpression="rate(1 day)", State="DISABLED")
    certificate = stock.attached()["principal"]
    return [
        *(certificate, certificate.rpartition("/")[2], stock.registered_authority(), stock.csr(), stock.shadow()),
        *(stock.retained(), stock.subscription(), stock.violation(), stock.managed_policy(2), stock.target()),
        *(stock.access_key()["AccessKeyId"], stock.custom_metric(), stock.dimension(), *stock.log_stream.values()),
    ]


@pytest.fixture
def wire(furnished: Furnished) -> Iterator[Wire]:
    made = Wire(furnished.server.info)
    yield made
    made.close()


def error_of(answer: Answer) -> tuple[str, str]:
    """Code and message as botocore reads them."""
    kind = answer.headers.get("content-type", "")
    protocol = "query" if "xml" in kind else "json" if "x-amz-json" in kind else "rest-json"
    response = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
    error = parsers.create_parser(protocol).parse(response, None)["Error"]
    return error["Code"], error.get("Message", "")


def fault(raw: Raw, answer: Answer) -> str:
    """What is wrong with an answer, or nothing."""
    if answer.status == 501:
        return (
            "" if raw.method == "HEAD" or error_of(answer)[0].startswith("NotImplemented") else "a 501 without its code"
        )
    if not 200 <= answer.status < 500:
        return "a 5xx, or no answer at all"
    if "x-amzn-requestid" not in answer.headers:
        # What is no HTTP never reaches the door.
        return "" if answer.headers.get("content-type", "").startswith("text/plain") else "no request id"
    if answer.status >= 400 and raw.method != "HEAD":
        code, _ = error_of(answer)
        return "" if re.fullmatch("[A-Za-z]+", code) else f"no error code but {code!r}"
    return ""


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_no_damage_is_answered_with_a_5xx(furnished: Furnished, wire: Wire, seed: int) -> None:
    """A request of any operation, damaged in path, query, headers, body, method or framing, is refused as AWS would."""
    fuzzer = Fuzzer(seed, furnished.known)
    for _ in range(EACH):
        raw = fuzzer.next()
        answer = wire.ask(raw)
        assert not fault(raw, answer), (fault(raw, answer), answer, raw)


@pytest.mark.parametrize("service", operations.REGISTRY)
def test_an_operation_that_is_not_served_is_named(wire: Wire, service: str) -> None:
    """Every operation of a model that is not served is refused by name, with a code that says so."""
    for operation in operations_of(service):
        if operations.find(service, operation.name) is None:
            code, message = error_of(wire.ask(plain(operation)))
            assert code in ("NotImplementedException", "NotImplemented")
            assert f" {operation.name} " in message


@pytest.mark.parametrize(
    "service", [name for name in operations.REGISTRY if models.service(name).protocol != "rest-json"]
)
def test_an_operation_that_no_model_has_is_named(wire: Wire, service: str) -> None:
    """An action or target that the service does not know is refused, and the message repeats it."""
    raw = plain(operations_of(service)[0])
    raw.body = raw.body.replace(raw.operation.encode(), b"NoSuchThing")
    raw.headers = {name: value.replace(raw.operation, "NoSuchThing") for name, value in raw.headers.items()}
    answer = wire.ask(raw)
    assert answer.status == 400
    assert error_of(answer)[0] in ("UnknownOperationException", "InvalidAction")
    assert "NoSuchThing" in error_of(answer)[1]


NO_HTTP = {
    "nothing": b"\r\n\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "MQTT": bytes.fromhex("101000044d5154540402003c000461626364"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /things\r\n\r\n",
    "no length": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: many\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
    "both framings": b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "folded header": b"GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n",
    "zeros": bytes(5_000),
    "an endless line": b"GET /" + b"a" * 200_000,
}


@pytest.mark.parametrize("what", NO_HTTP)
def test_what_is_no_http_is_refused_or_cut_off(furnished: Furnished, what: str) -> None:
    """Garbage on the port is answered with a 4xx or with a closed connection, and the server goes on."""
    host, _, port = furnished.server.info.endpoint_url.partition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        try:
            connection.sendall(NO_HTTP[what])
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert furnished.server.client("sts").get_caller_identity()["Account"]
