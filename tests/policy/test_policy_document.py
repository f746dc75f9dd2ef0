"""What parse accepts, and what it refuses with which words."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetward.errors import MalformedPolicy
from fleetward.policy.conditions import OPERATORS
from fleetward.policy.document import DEVICE_KEYS, parse

STATEMENT = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}


def text(**changes: Any) -> str:
    """A good document with members of its statement changed; None takes one away."""
    statement = {name: value for name, value in {**STATEMENT, **changes}.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def refusal(document: str, **options: Any) -> str:
    with pytest.raises(MalformedPolicy) as refused:
        parse(document, **options)
    return refused.value.message


class TestAccepted:
    @pytest.mark.parametrize(
        "document",
        [
            text(),
            text(Sid="one"),
            json.dumps({"Version": "2012-10-17", "Id": "x", "Statement": STATEMENT}),
            json.dumps({"Version": "2008-10-17", "Statement": STATEMENT}),
            json.dumps({"Statement": [STATEMENT, STATEMENT]}),
            text(Action=["iot:*", "greengrass:Discover"], Resource=["*", "arn:aws:iot:*:*:topic/x"]),
            text(Condition={}),
            text(Condition={"Bool": {"iot:Connection.Thing.IsAttached": [True]}}),
            text(Condition={"StringLike": {"iot:certificate.issuer.initials": "A*"}}),
            text(Condition={"ForAnyValue:StringEquals": {"iot:Certificate.Subject.CommonName.List": "admin"}}),
            text(Condition={"StringEquals": {"iot:Certificate.Subject.CommonName.2": "admin"}}),
            text(Condition={"Null": {"iot:ConnectAttributes": False}}),
        ],
    )
    def test_documents_of_the_field(self, document: str) -> None:
        """Object or list of statements, both versions, and conditions as people write them."""
        assert parse(document).statements

    def test_statements_are_in_the_order_of_the_document(self) -> None:
        """Allows and denies are found again in the order in which they stand."""
        order = ["Deny", "Allow", "Deny"]
        document = json.dumps({"Statement": [{**STATEMENT, "Effect": effect, "Sid": effect} for effect in order]})
        assert [(s.index, s.sid) for s in parse(document, "p").statements] == list(enumerate(order))

    def test_white_space_does_not_count(self) -> None:
        """2048 characters besides white space pass, one more does not."""
        fill = 2048 - len("".join(text(Sid="").split()))
        assert parse(text(Sid="x" * fill) + " " * 10_000)
        assert "longer than 2048" in refusal(text(Sid="x" * (fill + 1)))
        assert parse(text(Sid="x" * (fill + 1)), max_characters=4096)


class TestRefused:
    @pytest.mark.parametrize(
        ("document", "says"),
        [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[]", "must be an object"),
            ("null", "must be an object"),
            ('{"Statement": NaN}', "NaN is not JSON"),
            ('{"Version": "2012-10-17"}', "no Statement"),
            ('{"Version": "2012-10-17", "Statement": []}', "no Statement"),
            ('{"Statement": ["x"]}', "statement 0 must be an object"),
            ('{"Version": "2016-01-01", "Statement": [{}]}', "Version '2016-01-01' is not supported"),
            ('{"Id": 5, "Id": 6, "Statement": [{}]}', "'Id' appears twice"),
            ('{"Statement": [{"Effect": "Allow", "Effect": "Deny"}]}', "'Effect' appears twice"),
            ('{"Statements": []}', "element 'Statements' of the document is not supported"),
            (text(Effect="allow"), "Effect of statement 0 is 'allow'"),
            (text(Effect=None), "Effect of statement 0 is nothing"),
            (text(Effect=[["Allow"]]), "Effect of statement 0 is a list"),
            (text(Principal="*"), "element 'Principal' of statement 0 is not supported"),
            (text(Action=None), "needs either Action or NotAction"),
            (text(NotAction="iot:*"), "needs either Action or NotAction"),
            (text(Action=[]), "Action of statement 0 is empty"),
            (text(Action=""), "Action of statement 0 is empty"),
            (text(Action="Connect"), "action is invalid: 'Connect'"),
            (text(Action="iot:${aws:username}"), "action is invalid"),
            (text(Action=5), "action is invalid: '5'"),
            (text(Action={"a": "b"}), "Action must be a string, not an object"),
            (text(Resource=None), "needs either Resource or NotResource"),
            (text(NotResource="*"), "needs either Resource or NotResource"),
            (text(Resource=[]), "Resource of statement 0 is empty"),
            (text(Resource="topic/a"), "resource is invalid: 'topic/a'"),
            (text(Resource="arn:${iot:ClientId"), "variable that does not end"),
            (text(Resource="arn:${}"), "names no context key"),
            (text(Resource="arn:${iot:ThingName}"), "context key 'iot:ThingName' is not supported"),
            (text(Resource="arn:${iot:ConnectAttributes}"), "cannot be used as a variable"),
            (text(Sid=True), "Sid must be a string, not a boolean"),
            (text(Condition="x"), "Condition of statement 0 must be an object"),
            (text(Condition={"StringEquals": "x"}), "'StringEquals' in Condition of statement 0 must be an object"),
            (text(Condition={"StringEquals": {}}), "names no context key"),
            (text(Condition={"StringEquals": {"iot:ClientId": []}}), "lists no value"),
            (text(Condition={"StringEquals": {"iot:ClientId": None}}), "must be a string, not nothing"),
            (text(Condition={"StringEquals": {"iot:ConnectAttributes": "x"}}), "needs ForAnyValue:StringEquals"),
            (text(Condition={"NumericEquals": {"aws:EpochTime": "soon"}}), "'soon' is not a number"),
            (text(Condition={"NumericEquals": {"aws:EpochTime": "${aws:EpochTime}"}}), "is not a number"),
            (text(Condition={"DateEquals": {"aws:CurrentTime": "2026"}}), "'2026' is not a date"),
            (text(Condition={"DateEquals": {"aws:CurrentTime": "2026-02-30"}}), "is not a date"),
            (text(Condition={"Bool": {"aws:SecureTransport": "yes"}}), "'yes' is not true or false"),
            (text(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.*"}}), "is not an IP address"),
            (text(Condition={"ArnLike": {"aws:username": "*"}}), "is not an ARN of six parts"),
        ],
    )
    def test_what_is_wrong_is_named(self, document: str, says: str) -> None:
        """Each refusal is a MalformedPolicy whose text names the culprit."""
        assert says in refusal(document)

    @pytest.mark.parametrize(
        "operator",
        [
            "StringMatches",
            "stringequals",
            "BinaryEquals",
            "NullIfExists",
            "ForAnyValue:Null",
            "ForSome:Bool",
            "",
            "IfExists",
        ],
    )
    def test_an_unsupported_operator_is_never_ignored(self, operator: str) -> None:
        """The refusal names the operator and lists those that are supported."""
        message = refusal(text(Condition={operator: {"iot:ClientId": "x"}}))
        assert f"condition operator '{operator}' is not supported" in message
        assert all(name in message for name in OPERATORS)

    @pytest.mark.parametrize(
        ("key", "says"),
        [
            ("iot:ClientID2", "did you mean iot:ClientId?"),
            ("iot:Certificate.Subject.ComonName", "did you mean iot:Certificate.Subject.CommonName?"),
            ("iot:Certificate.Subject.CommonName.5", "did you mean"),
            ("aws:PrincipalTag/x", "supported are aws:CurrentTime"),
            ("iot:Connection.Thing.Attributes[]", "iot:Connection.Thing.Attributes[*]"),
            ("", "iot:Certificate.Issuer.*"),
        ],
    )
    def test_an_unsupported_key_is_never_ignored(self, key: str, says: str) -> None:
        """The refusal names the key and what is supported."""
        message = refusal(text(Condition={"StringEquals": {key: "x"}}))
        assert f"context key '{key}' is not supported" in message
        assert says in message

    def test_without_a_list_any_key_goes(self) -> None:
        """keys=None accepts every key, known or not, but still no unknown operator."""
        assert parse(text(Condition={"StringEquals": {"s3:prefix": "${aws:PrincipalTag/x}"}}), keys=None)
        assert "not supported" in refusal(text(Condition={"Same": {"s3:prefix": "x"}}), keys=None)

    def test_variables_need_the_version_that_has_them(self) -> None:
        """In a document of 2008 `${…}` would be literal text; it is refused rather than misread."""
        old = {"Version": "2008-10-17", "Statement": {**STATEMENT, "Resource": "arn:${iot:ClientId}"}}
        assert 'needs "Version": "2012-10-17"' in refusal(json.dumps(old))
        del old["Version"]
        assert 'needs "Version": "2012-10-17"' in refusal(json.dumps(old))

    @pytest.mark.parametrize("depth", [100, 1000, 100_000])
    @pytest.mark.parametrize("bracket", ['{"Statement":', "["])
    def test_absurd_nesting(self, bracket: str, depth: int) -> None:
        """Nesting that would exhaust the stack is refused like anything else."""
        refusal(bracket * depth, max_characters=10**7)
        refusal("[" * depth + "]" * depth, max_characters=10**7)

    def test_absurd_nesting_inside(self) -> None:
        """Neither does a deep value break the message that speaks of it."""
        refusal('{"Statement": [{"Effect": ' + "[" * 900 + "]" * 900 + "}]}")

    def test_long_text_is_not_repeated(self) -> None:
        """A message quotes no more than a little of a hostile document."""
        assert len(refusal(text(Effect="x" * 1500))) < 300

    def test_lone_surrogates(self) -> None:
        """What cannot be stored as UTF-8 is refused; escaped, it is text that never matches."""
        assert "Unicode" in refusal(text(Sid="a").replace('"a"', '"\ud800"'))
        assert parse(text(Sid="\ud800"))


class TestHostile:
    @given(st.text())
    def test_any_text(self, document: str) -> None:
        """Arbitrary text raises MalformedPolicy and nothing else."""
        refusal(document)

    @given(st.data())
    def test_any_json(self, data: st.DataObject) -> None:
        """Arbitrary JSON in the shape of a policy is parsed or raises MalformedPolicy, and nothing else."""
        document = json.dumps(data.draw(NEARLY))
        with suppress(MalformedPolicy):
            parse(document, keys=data.draw(st.sampled_from([DEVICE_KEYS, None])))


def _mixed(*likely: Any) -> st.SearchStrategy[Any]:
    junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    return st.sampled_from(likely) | st.recursive(junk, lambda s: st.lists(s, max_size=2), max_leaves=3)


_VALUES = _mixed(
    "x", "1", "2026-11-24", "2026-11-24T99:99", "true", "::1/64", "10.0.0.0/99", "arn:a:b:c:d:${*}*", "${", "0001-01-01"
)
_OPERATORS = st.sampled_from([*OPERATORS, "DateEqualsIfExists", "ForAnyValue:StringLike", "Bogus"])
_KEYS = st.sampled_from(
    ["iot:ClientId", "aws:SourceIp", "iot:Connection.Thing.Attributes[a]", "bogus", "iot:ConnectAttributes"]
)
_STATEMENTS = st.fixed_dictionaries(
    {"Effect": _mixed("Allow", "Deny")},
    optional={
        "Sid": _mixed("a"),
        "Action": _mixed("*", "iot:*", ["iot:a", "iot:?"]),
        "NotAction": _mixed("iot:*"),
        "Resource": _mixed("*", "arn:a?${iot:ClientId}*", ["arn:a", "*b"]),
        "NotResource": _mixed("*"),
        "Condition": st.dictionaries(_OPERATORS, st.dictionaries(_KEYS, _VALUES, max_size=2), max_size=2),
        "Bogus": _mixed("*"),
    },
)
NEARLY = st.fixed_dictionaries(
    {"Version": _mixed("2012-10-17", "2008-10-17"), "Statement": st.lists(_STATEMENTS, max_size=3) | _STATEMENTS},
    optional={"Id": _mixed("x")},
)
