"""Behaviours of the API's form: what is wrong with them, and what they become."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward import errors
from fleetward.detect import profile_members, profiles
from fleetward.detect.behavior_checks import NUMERIC_OPERATORS, SET_OPERATORS, STATISTICS, Catalog
from fleetward.meter.metrics import METRICS
from fleetward.model import Behavior, Operator, PercentileCriterion, StaticCriterion, ValueKind

SIZE, SENT, ATTEMPTS = "aws:message-byte-size", "aws:num-messages-sent", "aws:num-connection-attempts"
ROLE = "arn:aws:iam::123456789012:role/alerts"


def static(metric: str = SENT, **changes: Any) -> dict[str, Any]:
    """A valid behaviour with a static criterion; None in `changes` removes a member of the criteria."""
    criteria = {"comparisonOperator": "less-than", "value": {"count": 10}, "durationSeconds": 300, **changes}
    return {"name": "B", "metric": metric, "criteria": {k: v for k, v in criteria.items() if v is not None}}


def statistical(metric: str = SIZE, **changes: Any) -> dict[str, Any]:
    return static(metric, **{"value": None, "statisticalThreshold": {"statistic": "p50"}, **changes})


def listing(metric: str, operator: str, value: dict[str, Any]) -> dict[str, Any]:
    return static(metric, comparisonOperator=operator, value=value, durationSeconds=None)


CATALOG = Catalog(
    {
        "temperature": ValueKind.NUMBER,
        "firmware": ValueKind.STRINGS,
        "lockcodes": ValueKind.NUMBERS,
        "peers": ValueKind.CIDRS,
    },
    {"Doors"},
)


def without(behavior: dict[str, Any], member: str) -> dict[str, Any]:
    return {key: value for key, value in behavior.items() if key != member}


@pytest.mark.parametrize(
    "behavior",
    [
        static(),
        static(SIZE, durationSeconds=None),
        static(SIZE),
        static(durationSeconds=5),
        static(durationSeconds=86_400),
        static(durationSeconds=61),
        static(value={"count": 0}),
        static(value={"count": 2**63 - 1}),
        static(consecutiveDatapointsToAlarm=10, consecutiveDatapointsToClear=1),
        {**static(), "suppressAlerts": True, "exportMetric": False},
        statistical(),
        statistical(SENT, comparisonOperator="greater-than-equals"),
        *(statistical(statisticalThreshold={"statistic": statistic}) for statistic in STATISTICS),
        *(static(metric) for metric, row in METRICS.items() if row.value == "count" and row.kind != "timer"),
        static("aws:disconnect-duration", durationSeconds=None),
        static("fleetward:silence-duration", durationSeconds=None, comparisonOperator="less-than-equals"),
        static("aws:num-listening-tcp-ports", durationSeconds=None),
        static("aws:num-established-tcp-connections", durationSeconds=None),
        listing("aws:source-ip-address", "in-cidr-set", {"cidrs": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]}),
        listing("aws:destination-ip-addresses", "not-in-cidr-set", {"cidrs": ["0.0.0.0/0"]}),
        listing("aws:listening-tcp-ports", "in-port-set", {"ports": [0, 22, 65_535]}),
        listing("aws:listening-udp-ports", "not-in-port-set", {"ports": [53]}),
        listing("temperature", "less-than", {"number": -2.5}),
        static("temperature", comparisonOperator="greater-than", value={"number": 3}),
        statistical("temperature"),
        listing("firmware", "in-set", {"strings": ["1.0"]}),
        listing("lockcodes", "not-in-set", {"numbers": [1, 2.5]}),
        listing("peers", "in-cidr-set", {"cidrs": ["10.0.0.0/8"]}),
        {**static(), "metricDimension": {"dimensionName": "Doors"}},
        {**static(), "metricDimension": {"dimensionName": "Doors", "operator": "NOT_IN"}},
        statistical(statisticalThreshold={"statistic": "Average"}),
        *(static(comparisonOperator=operator) for operator in NUMERIC_OPERATORS),
    ],
)
def test_valid(behavior: dict[str, Any]) -> None:
    """Each metric takes its operators and values; the eleven percentiles, Average and durations of 5 to 86,400 s."""
    assert profiles.validate([behavior], CATALOG) == []
    (parsed,) = profiles.parse("P", [behavior])
    assert profiles.parse("P", [profiles.render(parsed)]) == (parsed,)


@pytest.mark.parametrize(
    ("behavior", "complaints"),
    [
        # AWS's one known text.
        (
            static(consecutiveDatapointsToAlarm=100000),
            ["consecutiveDatapointsToAlarm 100000 should be in range[1,10]"],
        ),
        # 1: names
        ({**static(), "name": "a b"}, ["name a b should match [a-zA-Z0-9:_-]{1,128}"]),
        ({**static(), "name": "x" * 129}, [f"name {'x' * 125}... should match [a-zA-Z0-9:_-]{{1,128}}"]),
        # 2: metrics
        (without(static(), "metric"), ["metric is missing"]),
        (static("aws:nonsense"), ["metric aws:nonsense is neither a built-in metric nor an existing custom metric"]),
        (static("humidity"), ["metric humidity is neither a built-in metric nor an existing custom metric"]),
        # 3: criteria
        (without(static(), "criteria"), ["criteria is missing"]),
        ({**static(), "criteria": "x"}, ["criteria should be a structure"]),
        # 4: exactly one of the three kinds
        (static(value=None), ["criteria should have exactly one of value, statisticalThreshold, mlDetectionConfig"]),
        (
            statistical(value={"count": 1}),
            ["criteria should have exactly one of value, statisticalThreshold, mlDetectionConfig"],
        ),
        # 5: machine learning
        (
            static(value=None, mlDetectionConfig={"confidenceLevel": "HIGH"}),
            [
                "mlDetectionConfig is not supported yet",
                "comparisonOperator should be absent with mlDetectionConfig",
                "durationSeconds should be absent with mlDetectionConfig",
            ],
        ),
        (
            static(
                value=None, comparisonOperator=None, durationSeconds=None, mlDetectionConfig={"confidenceLevel": "LOW"}
            ),
            ["mlDetectionConfig is not supported yet"],
        ),
        # 6: operators
        (static(comparisonOperator=None), ["comparisonOperator is missing"]),
        (
            static(comparisonOperator="equals"),
            [f"comparisonOperator equals should be one of {', '.join(NUMERIC_OPERATORS + SET_OPERATORS)}"],
        ),
        (
            static(comparisonOperator="in-cidr-set", value={"cidrs": ["10.0.0.0/8"]}),
            [
                f"comparisonOperator in-cidr-set does not apply to metric {SENT}",
                f"value.cidrs does not apply to metric {SENT}, which takes value.count",
            ],
        ),
        # 7: values
        (static(value={}), ["value should have exactly one of count, cidrs, ports, number, numbers, strings"]),
        (
            static(value={"count": 1, "number": 1.5}),
            ["value should have exactly one of count, cidrs, ports, number, numbers, strings"],
        ),
        (static(value={"number": 1.5}), [f"value.number does not apply to metric {SENT}, which takes value.count"]),
        (static(value={"count": -1}), ["value.count -1 should be in range[0,9223372036854775807]"]),
        (static(value={"count": True}), ["value.count true should be in range[0,9223372036854775807]"]),
        # 8: durations
        (static(durationSeconds=4), ["durationSeconds 4 should be in range[5,86400]"]),
        (static(durationSeconds=86_401), ["durationSeconds 86401 should be in range[5,86400]"]),
        (static(durationSeconds=0), ["durationSeconds 0 should be in range[5,86400]"]),
        (static(durationSeconds=None), [f"durationSeconds is required for metric {SENT}"]),
        (statistical(durationSeconds=None), ["durationSeconds is required with statisticalThreshold"]),
        # 9: percentiles
        (statistical(statisticalThreshold={}), ["statisticalThreshold.statistic is missing"]),
        (
            statistical(statisticalThreshold={"statistic": "p42"}),
            ["statistic p42 should be one of Average, p0, p0.01, p0.1, p1, p10, p50, p90, p99, p99.9, p99.99, p100"],
        ),
        (
            statistical("aws:source-ip-address", durationSeconds=None),
            [
                "comparisonOperator less-than does not apply to metric aws:source-ip-address",
                "statisticalThreshold does not apply to metric aws:source-ip-address",
                "durationSeconds is required with statisticalThreshold",
            ],
        ),
        # lists, ports, numbers
        (
            listing("aws:listening-tcp-ports", "in-port-set", {"ports": []}),
            ["value.ports should be a list that is not empty"],
        ),
        (
            listing("aws:listening-tcp-ports", "in-port-set", {"ports": [65_536]}),
            ["value.ports 65536 should be in range[0,65535]"],
        ),
        (
            listing("aws:source-ip-address", "in-cidr-set", {"cidrs": ["10.0.0.0/33"]}),
            ["value.cidrs 10.0.0.0/33 should be an IP address or a range of them such as 10.0.0.0/8"],
        ),
        (
            listing("aws:source-ip-address", "less-than", {"count": 3}),
            [
                "comparisonOperator less-than does not apply to metric aws:source-ip-address",
                "value.count does not apply to metric aws:source-ip-address, which takes value.cidrs",
            ],
        ),
        (
            static("aws:listening-tcp-ports", comparisonOperator="in-port-set", value={"ports": [22]}),
            ["durationSeconds does not apply to metric aws:listening-tcp-ports"],
        ),
        (
            static("aws:disconnect-duration", comparisonOperator="greater-than", durationSeconds=None),
            ["comparisonOperator greater-than does not apply to metric aws:disconnect-duration"],
        ),
        (listing("temperature", "less-than", {"number": float("nan")}), ["value.number NaN should be a finite number"]),
        (listing("firmware", "in-set", {"strings": ["a", 1]}), ["value.strings 1 should be a string"]),
        (
            {**static("temperature", value={"number": 1}), "metricDimension": {"dimensionName": "Doors"}},
            ["metricDimension does not apply to metric temperature"],
        ),
        (
            statistical(comparisonOperator="in-set"),
            ["comparisonOperator in-set does not apply to a statisticalThreshold"],
        ),
        # 10: dimensions
        ({**static(), "metricDimension": {"dimensionName": "D"}}, ["dimension D does not exist"]),
        (
            {**static(), "metricDimension": {"dimensionName": "Doors", "operator": "NEAR"}},
            ["metricDimension.operator NEAR should be one of IN, NOT_IN"],
        ),
        (
            {**static(ATTEMPTS), "metricDimension": {"dimensionName": "D"}},
            [f"metricDimension does not apply to metric {ATTEMPTS}"],
        ),
        # 11: datapoints
        (
            static(consecutiveDatapointsToAlarm=0, consecutiveDatapointsToClear=11),
            [
                "consecutiveDatapointsToAlarm 0 should be in range[1,10]",
                "consecutiveDatapointsToClear 11 should be in range[1,10]",
            ],
        ),
        # 12: flags
        ({**static(), "suppressAlerts": "yes"}, ["suppressAlerts yes should be true or false"]),
    ],
)
def test_malformed(behavior: dict[str, Any], complaints: list[str]) -> None:
    """Every breach of the rules is told in the form of AWS's one known text, and only once."""
    label = behavior["name"] if len(behavior["name"]) <= 128 else behavior["name"][:125] + "..."
    assert profiles.validate([behavior], CATALOG) == [f"Behavior {label} is malformed. {text}" for text in complaints]


def test_names_are_unique_and_missing_ones_are_counted() -> None:
    """Two behaviours of one name are both malformed; one without a name is told by its position."""
    assert profiles.validate([static(), static(SIZE), without(static(), "name")]) == [
        "Behavior B is malformed. name should be unique within the security profile",
        "Behavior B is malformed. name should be unique within the security profile",
        "Behavior number 3 is malformed. name is missing",
    ]


def test_at_most_a_hundred_behaviors() -> None:
    """A profile takes 100 behaviours and no more (AWS service quotas)."""
    behaviors = [{**static(), "name": f"B{number}"} for number in range(101)]
    assert profiles.validate(behaviors[:100]) == []
    assert profiles.validate(behaviors) == ["A security profile takes at most 100 behaviors, not 101"]


def test_parse() -> None:
    """A behaviour takes its defaults (300 s on message size, 1 and 1 datapoints) and its profile's margin."""
    story = statistical(comparisonOperator="less-than-equals", consecutiveDatapointsToClear=2)
    assert profiles.parse("P", [story, static(SIZE, durationSeconds=None)], 10.0) == (
        Behavior("P", "B", SIZE, PercentileCriterion(Operator.LESS_THAN_EQUALS, 5000, 10.0), 300, 1, 2),
        Behavior("P", "B", SIZE, StaticCriterion(Operator.LESS_THAN, 10), 300, 1, 1),
    )


MEMBER_NAMES = [
    "name", "metric", "criteria", "metricDimension", "suppressAlerts", "exportMetric", "comparisonOperator", "value",
    "count", "cidrs", "durationSeconds", "consecutiveDatapointsToAlarm", "statisticalThreshold", "statistic",
    "mlDetectionConfig", "dimensionName",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBER_NAMES), inner, max_size=6),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=200)
def test_validate_never_raises(behaviors: Any) -> None:
    """Whatever JSON is sent, validation collects complaints, each short enough for the model's ErrorMessage."""
    assert all(0 < len(text) <= 2048 for text in profiles.validate(behaviors))


def test_a_number_too_long_to_print() -> None:
    """A number that Python itself refuses to print is out of range, not an error."""
    assert profiles.validate([static(durationSeconds=10**5000)]) == [
        "Behavior B is malformed. durationSeconds (unreadable) should be in range[5,86400]"
    ]


ALMOST = [
    static(),
    statistical(),
    static(SIZE, durationSeconds=None),
    listing("aws:listening-tcp-ports", "in-port-set", {"ports": [22]}),
    listing("temperature", "less-than", {"number": 1.5}),
]


@st.composite
def almost_valid(draw: st.DrawFn) -> dict[str, Any]:
    """A behaviour that is valid but for at most two members."""
    behavior: dict[str, Any] = draw(st.sampled_from(ALMOST))
    behavior = copy.deepcopy(behavior)
    for _ in range(draw(st.integers(0, 2))):
        where = draw(st.sampled_from([behavior, behavior["criteria"]]))
        if isinstance(where, dict):
            where[draw(st.sampled_from(MEMBER_NAMES))] = draw(
                JSON
                | st.sampled_from(
                    [
                        *METRICS,
                        *STATISTICS,
                        *NUMERIC_OPERATORS,
                        *SET_OPERATORS,
                        {"count": 5},
                        {"ports": [1]},
                        {"statistic": "p90"},
                    ]
                )
            )
    return behavior


@given(almost_valid())
@settings(max_examples=300)
def test_what_is_valid_runs(behavior: dict[str, Any]) -> None:
    """Whatever validation calls valid becomes a running behaviour, and rendering that gives the same one again."""
    if profiles.validate([behavior], CATALOG):
        return
    [running] = profiles.parse("P", [behavior], 10.0)
    rendered = profiles.render(running)
    assert profiles.validate([rendered], CATALOG) == []
    assert profiles.parse("P", [rendered], 10.0) == (running,)


@pytest.mark.parametrize(("tag", "margin"), [(None, 0.0), ("0", 0.0), ("10", 10.0), ("2.5", 2.5), ("1000", 1000.0)])
def test_margin(tag: str | None, margin: float) -> None:
    """The margin is the tag's number; no tag means AWS's strict reading."""
    assert profiles.margin_percent(tag) == margin


@pytest.mark.parametrize("tag", ["", "ten", "-1", "1000.1", "nan", "inf", "1e2", "10%", " 10", "٣", "1" * 400])
def test_malformed_margin(tag: str) -> None:
    """Anything but a plain number from 0 to 1000 is refused, not guessed at."""
    with pytest.raises(errors.InvalidRequest, match="statistical-margin-percent should be a number from 0 to 1000"):
        profiles.margin_percent(tag)


@pytest.mark.parametrize(
    ("members", "complaints"),
    [
        ({"alertTargets": {"SNS": {"alertTargetArn": "arn:aws:sns:us-east-1:1:T", "roleArn": ROLE}}}, []),
        (
            {"alertTargets": {"SQS": {"alertTargetArn": "arn:aws:sqs:us-east-1:1:Q", "roleArn": "admin"}}},
            [
                "alertTargets SQS should be SNS",
                "alertTargetArn arn:aws:sqs:us-east-1:1:Q should be the ARN of an SNS topic",
                "roleArn admin should be the ARN of an IAM role",
            ],
        ),
        ({"additionalMetricsToRetain": [SIZE, SENT]}, []),
        (
            {"additionalMetricsToRetainV2": [{"metric": "x", "metricDimension": {"dimensionName": "D"}}]},
            [
                "additionalMetricsToRetainV2 is malformed. "
                "metric x is neither a built-in metric nor an existing custom metric",
                "additionalMetricsToRetainV2 is malformed. dimension D does not exist",
            ],
        ),
        ({"metricsExportConfig": {"mqttTopic": "defender/metrics", "roleArn": ROLE}}, []),
        (
            {"metricsExportConfig": {"mqttTopic": "a/#", "roleArn": ROLE}},
            ["mqttTopic a/# should be a topic of 1 to 512 characters without wildcards"],
        ),
    ],
)
def test_other_members(members: dict[str, Any], complaints: list[str]) -> None:
    """Alert targets are SNS topics with a role; retained metrics exist; the export topic has no wildcards."""
    assert profile_members.check(members) == complaints
