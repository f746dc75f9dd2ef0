"""Trust policies: what is one, and whom it lets in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetward import errors
from fleetward.access import trust
from fleetward.policy.evaluate import Effect

ACCOUNT = "123456789012"
BOB = f"arn:aws:iam::{ACCOUNT}:user/bob"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/R"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/R/s"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(principal: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}


def outcome(text: str, *names: str, **context: str) -> Effect:
    return trust.check(text).outcome(names, {key.replace("_", ":"): value for key, value in context.items()}).effect


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"Statement": 7}',
        document(),
        document({"Effect": "Allow", "Action": "sts:AssumeRole"}),
        document(allow({"AWS": BOB}, Resource="*")),
        document({**allow({"AWS": BOB}), "Action": "iot:*"}),
        document({**allow({"AWS": BOB}), "Action": "*"}),
        document({"Effect": "Allow", "NotPrincipal": {"AWS": BOB}, "Action": "sts:AssumeRole"}),
        document(allow({"AWS": "arn:aws:iam::123456789012:user/b*"})),
        document(allow({"Service": "lambda"})),
        document(allow({"CanonicalUser": "x"})),
        document(allow({})),
        document(allow({"AWS": 7})),
        '{"Statement": [{"Effect":"Allow","Principal":"*","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}',
        document(allow("*", Condition={"Unheard": {"a": "b"}})),
    ],
)
def test_what_is_no_trust_policy(text: str) -> None:
    """Whatever would not be evaluated as its author meant is refused."""
    with pytest.raises(errors.MalformedPolicyDocument):
        trust.check(text)


def test_a_long_one_is_refused() -> None:
    """A trust policy has at most 2048 characters, white space not counted."""
    text = document(*(allow({"AWS": BOB}) for _ in range(40)))
    with pytest.raises(errors.LimitExceeded, match="ACLSizePerRole: 2048"):
        trust.check(text)


@pytest.mark.parametrize(
    ("principal", "names", "expected"),
    [
        ({"AWS": BOB}, [trust.aws(BOB)], Effect.ALLOWED),
        ({"AWS": BOB}, [trust.aws(ROLE)], Effect.IMPLICIT_DENY),
        ({"AWS": [ROLE, BOB]}, [trust.aws(BOB)], Effect.ALLOWED),
        ({"AWS": ROLE}, [trust.aws(SESSION), trust.aws(ROLE)], Effect.ALLOWED),
        ({"AWS": SESSION}, [trust.aws(SESSION), trust.aws(ROLE)], Effect.ALLOWED),
        ({"AWS": ACCOUNT}, [trust.aws(ACCOUNT)], Effect.ALLOWED),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, [trust.aws(ACCOUNT)], Effect.ALLOWED),
        ({"AWS": ACCOUNT}, [trust.aws(BOB)], Effect.IMPLICIT_DENY),
        ({"Service": "lambda.amazonaws.com"}, [trust.service("lambda.amazonaws.com")], Effect.ALLOWED),
        ({"Service": "lambda.amazonaws.com"}, [trust.service("iot.amazonaws.com")], Effect.IMPLICIT_DENY),
        ({"Service": "lambda.amazonaws.com"}, [trust.aws(BOB)], Effect.IMPLICIT_DENY),
        ({"Federated": "cognito-identity.amazonaws.com"}, [trust.aws(BOB)], Effect.IMPLICIT_DENY),
        ("*", [trust.aws(BOB)], Effect.ALLOWED),
        ({"AWS": "*"}, [trust.service("lambda.amazonaws.com")], Effect.ALLOWED),
    ],
)
def test_who_is_trusted(principal: Any, names: list[str], expected: Effect) -> None:
    """A principal is trusted under exactly the names it goes by."""
    assert outcome(document(allow(principal)), *names) is expected


def test_a_denied_principal_stays_out() -> None:
    """A Deny of one principal wins over an Allow of everybody, for that one alone."""
    text = document(allow("*"), {**allow({"AWS": BOB}), "Effect": "Deny"})
    assert outcome(text, trust.aws(BOB)) is Effect.EXPLICIT_DENY
    assert outcome(text, trust.aws(ROLE)) is Effect.ALLOWED


def test_an_external_id_must_be_the_one() -> None:
    """A condition on sts:ExternalId lets in only who gives it."""
    text = document(allow({"AWS": BOB}, Condition={"StringEquals": {"sts:ExternalId": "open sesame"}}))
    assert outcome(text, trust.aws(BOB), sts_ExternalId="open sesame") is Effect.ALLOWED
    assert outcome(text, trust.aws(BOB), sts_ExternalId="please") is Effect.IMPLICIT_DENY
    assert outcome(text, trust.aws(BOB)) is Effect.IMPLICIT_DENY


def test_another_of_the_same_name_is_not_trusted() -> None:
    """A principal that is renamed is found under its new name only, however the document spells the old one."""
    text = document(allow({"AWS": [BOB, ROLE]})).replace("user/bob", "user\\/bob")
    changed = trust.renamed(text, BOB, "AIDA123")
    assert outcome(text, trust.aws(BOB)) is Effect.ALLOWED
    assert outcome(changed, trust.aws(BOB)) is Effect.IMPLICIT_DENY
    assert outcome(changed, trust.aws(ROLE)) is Effect.ALLOWED
    assert trust.renamed(text, "arn:aws:iam::123456789012:user/eve", "x") == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["*", "sts:AssumeRole", "Allow", BOB, ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Statement", "Effect", "Principal", "Action", "AWS", "Service", "Condition"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_document_is_a_policy_or_refused(tree: Any) -> None:
    """Whatever JSON comes, the answer is a trust policy or MalformedPolicyDocument."""
    try:
        trust.check(json.dumps(tree))
    except errors.MalformedPolicyDocument:
        pass
