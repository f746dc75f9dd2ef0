"""From method and path to operation and labels."""

from __future__ import annotations

import pytest
from botocore.utils import normalize_url_path
from hypothesis import given
from hypothesis import strategies as st

from fleetward import errors
from fleetward.api import models
from fleetward.api.request import Request, normalise

CERTIFICATE = "arn:aws:iot:us-east-1:123456789012:cert/abc"
LAYER = "arn:aws:lambda:us-east-1:1:layer:a:1"


@pytest.mark.parametrize(
    ("service", "method", "url", "operation", "labels"),
    [
        ("iot-data", "POST", "/topics/a%2Fb", "Publish", {"topic": "a/b"}),
        ("iot-data", "POST", "/topics/a/b?qos=1", "Publish", {"topic": "a/b"}),
        ("iot-data", "POST", "/topics/%2Fa%2F%2Fb%2F", "Publish", {"topic": "/a//b/"}),
        ("iot-data", "POST", "/topics/%24aws%2Fthings%2Fx", "Publish", {"topic": "$aws/things/x"}),
        ("iot-data", "POST", "/topics/100%2525", "Publish", {"topic": "100%25"}),
        ("iot-data", "GET", "/retainedMessage", "ListRetainedMessages", {}),
        ("iot-data", "GET", "/retainedMessage/a/b", "GetRetainedMessage", {"topic": "a/b"}),
        ("iot", "GET", "/things/a", "DescribeThing", {"thingName": "a"}),
        ("iot", "GET", "/things", "ListThings", {}),
        ("iot", "GET", "/things/", "DescribeThing", {"thingName": ""}),
        ("iot", "GET", "/authorizers/", "ListAuthorizers", {}),
        ("iot", "GET", "/authorizers", "ListAuthorizers", {}),
        ("iot", "DELETE", "/destinations/arn:a/b%2Fc", "DeleteTopicRuleDestination", {"arn": "arn:a/b/c"}),
        ("iot", "GET", "/things/a/principals-v2", "ListThingPrincipalsV2", {"thingName": "a"}),
        ("lambda", "GET", f"/2018-10-31/layers?find=LayerVersion&Arn={LAYER}", "GetLayerVersionByArn", {}),
        ("lambda", "GET", "/2018-10-31/layers", "ListLayers", {}),
        ("lambda", "GET", "/2017-03-31/tags/arn:aws:lambda:x", "ListTags", {"Resource": "arn:aws:lambda:x"}),
    ],
)
def test_a_path_finds_its_operation(
    service: str, method: str, url: str, operation: str, labels: dict[str, str]
) -> None:
    """The raw path decides and labels are decoded after; a last label takes unencoded slashes too."""
    path, _, query = url.partition("?")
    found, given_labels = models.service(service).operation_of(Request(method, path, query, {}))
    assert (found.name, given_labels) == (operation, labels)


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/things"), ("GET", "/"), ("GET", "/nothing/here"), ("PATCH", "*")]
)
def test_a_path_of_nobody_is_an_unknown_operation(method: str, path: str) -> None:
    """A path that no template fits is refused by name."""
    with pytest.raises(errors.UnknownOperation, match=method):
        models.service("iot").operation_of(Request(method, path, "", {}))


def test_the_models_have_nothing_that_the_wire_does_not_know() -> None:
    """Guards what parse.py and serialise.py leave out: prefix headers, flattened lists, other timestamp formats."""
    for name in set(models.SIGNING_NAMES.values()):
        model = models.service(name).model
        for shape in (model.shape_for(shape_name) for shape_name in model.shape_names):
            assert not shape.serialization.keys() & {"flattened", "timestampFormat"}
            for member in getattr(shape, "members", {}).values():
                location = member.serialization.get("location")
                assert location in (None, "uri", "querystring", "header", "statusCode")
                if location in ("uri", "querystring", "header"):
                    assert member.type_name not in ("map", "structure", "blob")
            payload = shape.serialization.get("payload")
            if payload is not None:
                assert shape.members[payload].type_name in ("blob", "structure")


@given(st.text("/.a", max_size=12).map("/".__add__))
def test_normalising_a_path_is_what_botocore_does(path: str) -> None:
    """What we route is exactly what botocore's signature covers: dot and empty segments resolved."""
    assert normalise(path) == normalize_url_path(path)
    assert normalise(normalise(path)) == normalise(path)
