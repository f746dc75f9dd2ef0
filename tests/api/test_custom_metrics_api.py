"""Custom metrics and dimensions through boto3, from request to answer."""

from __future__ import annotations

from typing import Any

import pytest
from registry_house import RegistryHouse, refusal

from fleetward.detect import custom_metrics, dimensions
from fleetward.model import Dimension, ValueKind
from fleetward.store.tables.detect import security_profiles

INVALID, MISSING = ("InvalidRequestException", 400), ("ResourceNotFoundException", 404)
EXISTS, LIMIT = ("ResourceAlreadyExistsException", 409), ("LimitExceededException", 410)


def use(registry: RegistryHouse, **document: Any) -> None:
    """Stores a profile with that document, as it stands."""
    row = {"name": "P", "document": document, "version": 1, "created_at": 0, "modified_at": 0}
    with registry.house.rooms.database.transaction(0) as tx:
        tx.execute(security_profiles.delete())
        tx.execute(security_profiles.insert(), [row])


class TestCustomMetrics:
    def test_life_of_a_metric(self, iot: Any) -> None:
        """A metric is made, described, renamed, listed and deleted; deleting it again succeeds."""
        made = iot.create_custom_metric(metricName="cpu", displayName="CPU", metricType="number")
        assert made["metricArn"].endswith(":custommetric/cpu")
        assert iot.update_custom_metric(metricName="cpu", displayName="Load")["displayName"] == "Load"
        shown = iot.describe_custom_metric(metricName="cpu")
        assert (shown["metricType"], shown["displayName"], shown["metricArn"]) == ("number", "Load", made["metricArn"])
        assert shown["lastModifiedDate"] >= shown["creationDate"]
        assert iot.list_custom_metrics()["metricNames"] == ["cpu"]
        iot.delete_custom_metric(metricName="cpu")
        iot.delete_custom_metric(metricName="cpu")
        assert iot.list_custom_metrics()["metricNames"] == []
        assert refusal(iot.describe_custom_metric, metricName="cpu")[:2] == MISSING
        assert refusal(iot.update_custom_metric, metricName="cpu", displayName="x")[:2] == MISSING

    @pytest.mark.parametrize("kind", custom_metrics.TYPES)
    def test_types(self, registry: RegistryHouse, iot: Any, kind: str) -> None:
        """Each of AWS's four types is kept, and known to validation by its kind of values."""
        iot.create_custom_metric(metricName="m", displayName="", metricType=kind)
        with registry.house.rooms.database.read() as look:
            assert custom_metrics.types(look) == {"m": kind}
            assert custom_metrics.value_kinds(look) == {"m": custom_metrics.TYPES[kind]}
        assert set(custom_metrics.TYPES.values()) < set(ValueKind)

    def test_the_same_request_again(self, iot: Any) -> None:
        """One token is one request: again it succeeds; another token, or another request, is a conflict."""
        given = {"metricName": "cpu", "metricType": "number", "clientRequestToken": "a"}
        assert iot.create_custom_metric(**given)["metricArn"] == iot.create_custom_metric(**given)["metricArn"]
        assert refusal(iot.create_custom_metric, **{**given, "clientRequestToken": "b"})[:2] == EXISTS
        assert refusal(iot.create_custom_metric, **{**given, "metricType": "number-list"})[:2] == EXISTS

    @pytest.mark.parametrize("name", ["aws:num-messages-sent", "aws:mine", "fleetward:topics-tried"])
    def test_reserved_names(self, iot: Any, name: str) -> None:
        """The prefixes of built-in metrics are theirs."""
        assert refusal(iot.create_custom_metric, metricName=name, metricType="number")[:2] == INVALID

    def test_a_metric_in_use_stays(self, registry: RegistryHouse, iot: Any) -> None:
        """A metric that a profile judges or retains cannot be deleted."""
        iot.create_custom_metric(metricName="cpu", metricType="number")
        for document in (
            {"behaviors": [{"name": "b", "metric": "cpu"}]},
            {"additionalMetricsToRetain": ["cpu"]},
            {"additionalMetricsToRetainV2": [{"metric": "cpu"}]},
        ):
            use(registry, **document)
            code, status, message = refusal(iot.delete_custom_metric, metricName="cpu")
            assert (code, status) == INVALID
            assert "P" in message
        use(registry)
        iot.delete_custom_metric(metricName="cpu")

    def test_limit(self, iot: Any) -> None:
        """There is a most of custom metrics."""
        for number in range(custom_metrics.MAX_METRICS):
            iot.create_custom_metric(metricName=f"m{number}", metricType="number")
        assert refusal(iot.create_custom_metric, metricName="b", metricType="number")[:2] == LIMIT


class TestDimensions:
    def test_life_of_a_dimension(self, iot: Any) -> None:
        """A dimension is made, described, changed, listed and deleted; deleting it again succeeds."""
        filters = ["data/+/x", "alarms/#", "$aws/things/${iot:ClientId}/shadow/#"]
        made = iot.create_dimension(name="d", type="TOPIC_FILTER", stringValues=filters)
        shown = iot.describe_dimension(name="d")
        assert (shown["arn"], shown["type"], shown["stringValues"]) == (made["arn"], "TOPIC_FILTER", filters)
        assert made["arn"].endswith(":dimension/d")
        assert iot.update_dimension(name="d", stringValues=["a"])["stringValues"] == ["a"]
        assert iot.list_dimensions()["dimensionNames"] == ["d"]
        iot.delete_dimension(name="d")
        iot.delete_dimension(name="d")
        assert refusal(iot.describe_dimension, name="d")[:2] == MISSING
        assert refusal(iot.update_dimension, name="d", stringValues=["a"])[:2] == MISSING

    @pytest.mark.parametrize("value", ["a/#/b", "a+", "${iot:Other}", "x" * 257, "a\x07b", "${", "a#"])
    def test_what_is_no_topic_filter(self, iot: Any, value: str) -> None:
        """Each value must be an MQTT topic filter with no other substitution than the client id."""
        given = {"name": "d", "type": "TOPIC_FILTER", "stringValues": ["good", value]}
        assert refusal(iot.create_dimension, **given)[1] == 400
        assert iot.list_dimensions()["dimensionNames"] == []

    def test_the_same_request_again(self, iot: Any) -> None:
        """One token is one request: again it succeeds; another is a conflict."""
        given = {"name": "d", "type": "TOPIC_FILTER", "stringValues": ["a"], "clientRequestToken": "a"}
        assert iot.create_dimension(**given)["arn"] == iot.create_dimension(**given)["arn"]
        assert refusal(iot.create_dimension, **{**given, "clientRequestToken": "b"})[:2] == EXISTS
        assert refusal(iot.create_dimension, **{**given, "stringValues": ["b"]})[:2] == EXISTS

    def test_a_dimension_in_use(self, registry: RegistryHouse, iot: Any) -> None:
        """One that a profile uses cannot be deleted, and a change of it is a change of the profile."""
        iot.create_dimension(name="d", type="TOPIC_FILTER", stringValues=["a"])
        use(registry, behaviors=[{"name": "b", "metric": "m", "metricDimension": {"dimensionName": "d"}}])
        code, status, message = refusal(iot.delete_dimension, name="d")
        assert (code, status) == INVALID
        assert "P" in message
        heard: list[Any] = []
        registry.house.rooms.database.on_commit(heard.extend)
        iot.update_dimension(name="d", stringValues=["b", "c"])
        assert ("profile", "P") in heard
        with registry.house.rooms.database.read() as look:
            assert dimensions.named(look) == {"d": Dimension("d", ("b", "c"))}
