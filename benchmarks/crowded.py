"""A data folder with much of everything in it, for benchmarks of what is shown: things, and all that is around them.

One of each is made through the API; SQLite itself copies it into the stopped server's store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fleet
import history
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from peers import fleetward

from fleetward.client import ServerInfo, clients
from fleetward.simulate import provision
from fleetward.store.tables import access, detect, functions, notify, registry
from fleetward.store.tables.trail import trail

DAY = 24 * 3_600_000
EVERYONE, QUIET_TOPIC, LOUD_TOPIC = "everyone", "quiet", "loud"
OF_QUIET_TOPIC = 3_000
"""Messages, all of them older than those of the loud topic."""
BEHAVIOR = {
    "name": "TooMany",
    "metric": "aws:num-messages-sent",
    "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": 100}, "durationSeconds": 300},
}

N: sa.ColumnElement[int] = sa.column("n", sa.Integer)
"""The number of the copy, from 1."""


@dataclass(frozen=True, slots=True)
class Sizes:
    things: int
    violations: int
    others: int
    """Of each of the rest: groups, certificates, policies, profiles, topics, functions, users, roles."""
    changes: int
    """On the audit trail."""
    messages: int


FULL = Sizes(1_000_000, 100_000, 5_000, 1_000_000, 90_000)
QUICK = Sizes(10_000, 2_000, 500, 10_000, 5_000)


def make(folder: Path, sizes: Sizes) -> int:
    """Fills a new folder, whose server is stopped; returns when the one window of its history ends (milliseconds)."""
    window = int(time.time() * 1000) // history.WINDOW - 1  # none that the server will close itself
    server = fleetward(folder)
    info = ServerInfo.load(folder / "data")
    assert info is not None
    certificate_id = _one_of_each(clients(info), f"{info.region}:{info.account_id}")
    server.stop()
    with fleet.store(folder) as connection:
        _copy_registry(connection, sizes, certificate_id)
        _copy_others(connection, sizes)
        _copy_messages(connection, sizes)
        _copy_changes(connection, sizes)
    history.fill(folder / "data" / "history.duckdb", sizes.things, [range(window, window + 1)])
    return (window + 1) * history.WINDOW


def _one_of_each(client: Callable[[str], Any], place: str) -> str:
    iot = client("iot")
    iot.create_thing_type(thingTypeName="sensor", thingTypeProperties={"searchableAttributes": ["site"]})
    iot.create_thing(thingName="pattern", thingTypeName="sensor", attributePayload={"attributes": {"site": "hall-7"}})
    for name in (EVERYONE, "pattern"):
        iot.create_thing_group(thingGroupName=name)
    iot.add_thing_to_thing_group(thingName="pattern", thingGroupName=EVERYONE)
    iot.create_policy(policyName="pattern", policyDocument=provision.document(provision.allow("iot:*", "*")))
    group = iot.describe_thing_group(thingGroupName=EVERYONE)["thingGroupArn"]
    iot.attach_policy(policyName="pattern", target=group)
    certificate = iot.create_certificate_from_csr(certificateSigningRequest=_signing_request(), setAsActive=True)
    iot.attach_thing_principal(thingName="pattern", principal=certificate["certificateArn"])
    iot.create_security_profile(securityProfileName="pattern", behaviors=[BEHAVIOR])
    iot.attach_security_profile(
        securityProfileName="pattern", securityProfileTargetArn=f"arn:aws:iot:{place}:all/things"
    )
    for name in (QUIET_TOPIC, LOUD_TOPIC):
        topic = client("sns").create_topic(Name=name)["TopicArn"]
        client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="pattern@example.com")
    client("lambda").create_function(
        FunctionName="pattern",
        Runtime="python3.11",
        Role=provision.function_role(client, "pattern"),
        Handler="handler.handler",
        Code={"ZipFile": provision.zip_of({"handler.py": "def handler(event, context): ..."})},
    )
    client("iam").create_user(UserName="pattern")
    return str(certificate["certificateId"])


def _signing_request() -> str:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


# --- copies -----------------------------------------------------------------------------------------------------------


def copy(connection: sa.Connection, table: sa.Table, like: sa.ColumnElement[bool], many: int, **own: Any) -> None:
    """`many` copies of the row that is `like` this, each with its own values: constants, or expressions of N."""
    first = sa.select(sa.literal(1).label("n")).cte("numbers", recursive=True)
    numbers = first.union_all(sa.select(first.c.n + 1).where(first.c.n < many))
    same = [column for column in table.c if column.name not in own and not _counts_up(table, column)]
    given = [value if isinstance(value, sa.ColumnElement) else sa.literal(value) for value in own.values()]
    pattern = sa.select(*(column.label(f"same_{column.name}") for column in same)).where(like).limit(1).subquery()
    rows = sa.select(*given, *pattern.c).select_from(numbers.join(pattern, sa.true()))
    connection.execute(table.insert().from_select([*own, *(column.name for column in same)], rows))


def _counts_up(table: sa.Table, column: sa.Column[Any]) -> bool:
    return column.primary_key and isinstance(column.type, sa.Integer) and len(table.primary_key) == 1


def numbered(text: str, number: sa.ColumnElement[int] = N) -> sa.ColumnElement[str]:
    """printf's text with the copy's number."""
    return sa.func.printf(text, number)


def _copy_registry(connection: sa.Connection, sizes: Sizes, certificate_id: str) -> None:
    things, name = registry.things, numbered("thing-%07d")
    copy(connection, things, things.c.name == "pattern", sizes.things - 1, name=name)
    attributes, members = registry.thing_attributes, registry.thing_group_members
    copy(connection, attributes, attributes.c.thing_name == "pattern", sizes.things - 1, thing_name=name)
    copy(connection, members, members.c.group_name == EVERYONE, sizes.things - 1, thing_name=name)
    groups, certificates, principals = registry.thing_groups, registry.certificates, registry.thing_principals
    copy(connection, groups, groups.c.name == "pattern", sizes.others, name=numbered("group%05d"))
    fingerprint = numbered("%08x" + 56 * "0")
    copy(connection, certificates, certificates.c.id == certificate_id, sizes.others, id=fingerprint)
    copy(
        connection,
        principals,
        principals.c.certificate_id == certificate_id,
        sizes.others,
        certificate_id=fingerprint,
        thing_name=name,
    )
    policies, versions = registry.policies, registry.policy_versions
    copy(connection, policies, policies.c.name == "pattern", sizes.others, name=numbered("policy%05d"))
    copy(connection, versions, versions.c.policy_name == "pattern", sizes.others, policy_name=numbered("policy%05d"))


def _copy_others(connection: sa.Connection, sizes: Sizes) -> None:
    for table, name in (
        (detect.security_profiles, "profile%05d"),
        (notify.topics, "topic%05d"),
        (functions.functions, "function%05d"),
        (access.users, "user%05d"),
        (access.roles, "role%05d"),
    ):
        pattern = LOUD_TOPIC if table is notify.topics else "pattern"
        copy(connection, table, table.c.name == pattern, sizes.others, name=numbered(name))
    readers = notify.subscriptions
    copy(
        connection,
        readers,
        readers.c.topic_name == LOUD_TOPIC,
        sizes.others,
        id=numbered("00000000-0000-0000-0000-%012d"),
        endpoint=numbered("reader%05d@example.com"),
        status="confirmed",
        token_hash=sa.null(),
        token_expires_at=sa.null(),
    )


def _copy_messages(connection: sa.Connection, sizes: Sizes) -> None:
    """The quiet topic's first: the page of its log is far back. Nothing is left to be sent."""
    now = int(time.time() * 1000)
    for topic, many in ((QUIET_TOPIC, OF_QUIET_TOPIC), (LOUD_TOPIC, sizes.messages)):
        id, at = numbered(f"{topic}-%08d"), now - DAY + N
        messages, deliveries = notify.messages, notify.deliveries
        first = messages.c.topic_name == topic
        copy(connection, messages, first, many, id=id, created_at=at, subject="Alert", kind="Notification")
        own = {"message_id": id, "created_at": at, "status": "delivered", "next_at": sa.null()}
        of_topic = deliveries.c.message_id.in_(sa.select(messages.c.id).where(first))
        copy(connection, deliveries, of_topic, many, **own)
    copy(connection, notify.mails, sa.true(), 900)


def _copy_changes(connection: sa.Connection, sizes: Sizes) -> None:
    """Over ninety days; every thousandth is of one user."""
    step = 90 * DAY // sizes.changes
    by_user = (N % 1_000 == 0, "arn:aws:iam::123456789012:user/pattern")
    copy(
        connection,
        trail,
        sa.and_(trail.c.kind == "thing", trail.c.name == "pattern"),
        sizes.changes,
        name=numbered("thing-%07d"),
        time=int(time.time() * 1000) - 90 * DAY + N * step,
        principal=sa.case(by_user, else_="arn:aws:iam::123456789012:root"),
    )


# --- alarms -----------------------------------------------------------------------------------------------------------


def alarm(folder: Path, sizes: Sizes, window_end: int) -> None:
    """Violations of the last day, the newer half open: into a running server's store, which at its start ends those
    that its kernel knows nothing of.
    """
    violations, events, half = detect.violations, detect.violation_events, sizes.violations // 2
    began = int(time.time() * 1000) - DAY
    with fleet.store(folder) as connection:
        connection.execute(violations.delete())
        why = {**EXPLANATION, "windowEnd": window_end}
        first = {**VIOLATION, "started_at": began, "last_at": began, "explanation": why}
        connection.execute(violations.insert(), first)
        connection.execute(events.insert(), {**EVENT, "violation_id": FIRST, "time": began})
        for state, before in (("alarm-cleared", 0), ("in-alarm", half)):
            number = N + before
            id, at = numbered("%016x", number), began + number * (DAY // sizes.violations)
            own = {"thing": numbered("thing-%07d", number), "started_at": at, "state": state}
            ended = at + 60_000 if state == "alarm-cleared" else sa.null()
            copy(connection, violations, violations.c.id == FIRST, half, id=id, ended_at=ended, **own)
            copy(connection, events, events.c.violation_id == FIRST, half, violation_id=id, time=at)


FIRST = "0" * 16
EXPLANATION = {"summary": "200 messages, the limit is 100 messages", "value": 200, "threshold": 100}
EVENT = {"kind": "in-alarm", "value": {"count": 200}, "reason": "", "explanation": EXPLANATION}
VIOLATION = {
    "id": FIRST,
    "thing": "pattern",
    "profile": "pattern",
    "behavior": BEHAVIOR,
    "behavior_name": BEHAVIOR["name"],
    "criteria_type": "STATIC",
    "suppressed": False,
    "alert_topics": [],
    "state": "in-alarm",
    "last_value": {"count": 200},
    "reason": "",
    "verification_state": "UNKNOWN",
}
