"""Publishing, subscriptions, tokens, addresses and retention: rules, without anything being sent."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notify_helpers import FUNCTION, House, ManualClock, house

from fleetward import errors
from fleetward.notify import deliveries, outbox, retention, subscriptions, topics
from fleetward.notify.channels.http import masked
from fleetward.notify.mail import Mail, is_address, mime, subject_line
from fleetward.notify.records import Draft, Status
from fleetward.notify.signature import CERTIFICATE_FILE, KEY_FILE, Signer, token_hash
from fleetward.store.tables import notify as tables

DAY = 24 * 3600 * 1000
MAIL = "ops@example.com"


def token(home: House, arn: str) -> str:
    """The token that the confirmation of this subscription carries."""
    with home.database.read() as look:
        found = subscriptions.find(look, arn.rpartition(":")[2], deleted=True)
    assert found is not None
    return home.notifier._signer.token(found.token_name)


def later(home: House, millis: int) -> None:
    assert isinstance(home.clock, ManualClock)
    home.clock.now += millis


# --- publishing -------------------------------------------------------------------------------------------------------


def test_same_message_id_is_published_once(home: House) -> None:
    """Publishing again under a message id that is known is a no-op: a replay sends nothing twice."""
    topic = home.topic()
    home.subscribe(topic, "lambda", FUNCTION)
    first = home.publish(topic, "one", message_id="derived-1")
    assert home.publish(topic, "two", message_id="derived-1") == first == "derived-1"
    assert len(home.log(topic)) == 1


def test_many_at_once_are_as_many_one_by_one(home: House) -> None:
    """Publishing drafts together keeps what publishing each alone keeps; one that is refused harms no other."""
    topic = home.topic(MaximumMessageSize="1024")
    home.subscribe(topic, "lambda", FUNCTION, FilterPolicy='{"n":[1]}', FilterPolicyScope="MessageBody")
    texts = {"a": '{"n":1}', "b": '{"n":2}', "long": "x" * 2000, "": '{"n":1}', "c": '{"n":1}', "none": ""}
    home.publish(topic, texts["c"], message_id="c")
    drafts = [Draft(text, id=name) for name, text in texts.items()]
    with home.database.transaction(home.clock()) as tx:
        answers = home.notifier.publish_all(tx, topic, [*drafts, Draft(texts["a"], id="a")])
    assert [answer.message if isinstance(answer, errors.Refusal) else answer for answer in answers] == [
        "a",
        "b",
        "Invalid parameter: Message too long",
        "Invalid parameter: MessageId",
        "c",
        "Invalid parameter: Empty message",
        "a",
    ]
    assert sorted(row["message_id"] for row in home.log(topic)) == ["a", "c"]
    with home.database.read() as look:
        assert sorted(look.execute(sa.select(tables.messages.c.id)).scalars()) == ["a", "b", "c"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=40), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_what_is_due(home: House, queued: list[tuple[int, int]], of_each: int, now: int) -> None:
    """The longest due come first, so many of each subscription, and none of one that is busy or not due yet."""
    row = {"protocol": "lambda", "endpoint": FUNCTION, "status": "pending", "attempts": 0, "created_at": 0}
    with home.database.transaction(home.clock()) as tx:
        tx.execute(tables.messages.delete())
        for number, (reader, at) in enumerate(queued):
            message = {"topic_name": "T", "kind": "Notification", "text": "x", "attributes": {}, "created_at": 0}
            tx.execute(tables.messages.insert(), {"id": f"m{number}", **message})
            of = {"message_id": f"m{number}", "subscription_id": f"s{reader}", "next_at": at}
            tx.execute(tables.deliveries.insert(), {**row, **of})
        found = deliveries.due(tx, now, 100, of_each, busy_subscriptions=["s3"])
        following = deliveries.next_due(tx, now)
    expected = []
    for number, (reader, at) in sorted(enumerate(queued), key=lambda one: (one[1][1], one[0])):
        if at <= now and reader != 3 and [name for name, _ in expected].count(f"s{reader}") < of_each:
            expected.append((f"s{reader}", f"m{number}"))
    assert [(one.subscription_id, one.message_id) for one in found] == expected
    assert following == min((at for _, at in queued if at > now), default=None)


def test_publish_is_part_of_the_callers_transaction(home: House) -> None:
    """When the caller's transaction fails, neither message nor delivery is left."""
    topic = home.topic()
    home.subscribe(topic, "lambda", FUNCTION)
    with contextlib.suppress(RuntimeError), home.database.transaction(home.clock()) as tx:
        home.notifier.publish(tx, topic, "lost", message_id="lost")
        raise RuntimeError
    assert home.log(topic) == []
    with home.database.read() as look:
        assert look.scalar(sa.select(sa.func.count()).select_from(tables.messages)) == 0


def test_only_confirmed_matching_subscriptions_get_a_delivery(home: House) -> None:
    """A pending subscription, and one whose filter does not want the message, get no delivery."""
    topic = home.topic()
    home.subscribe(topic, "email", MAIL)
    policy = '{"violationEventType":["in-alarm"]}'
    home.subscribe(topic, "lambda", FUNCTION, FilterPolicy=policy, FilterPolicyScope="MessageBody")
    cleared = home.publish(topic, '{"violationEventType":"alarm-cleared"}')
    alarm = home.publish(topic, '{"violationEventType":"in-alarm"}')
    assert home.log(message_id=cleared) == []
    assert [row["protocol"] for row in home.log(message_id=alarm)] == ["lambda"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"message": ""}, "Invalid parameter: Empty message"),
        ({"message": "x" * 262_145}, "Invalid parameter: Message too long"),
        ({"message": "é" * 131_073}, "Invalid parameter: Message too long"),
        ({"message": "x", "subject": ""}, "Invalid parameter: Subject"),
        ({"message": "x", "subject": "a\nBcc: b"}, "Invalid parameter: Subject"),
        ({"message": "x", "subject": "x" * 101}, "Invalid parameter: Subject"),
        ({"message": "x", "structure": "xml"}, "Invalid parameter: MessageStructure"),
        (
            {"message": "{", "structure": "json"},
            "Invalid parameter: Message Structure - JSON message body failed to parse",
        ),
        (
            {"message": '{"default":1}', "structure": "json"},
            "Invalid parameter: Message Structure - No default entry in JSON message body",
        ),
        ({"message": "\ud800"}, "Invalid parameter: Message Reason: must be valid UTF-8"),
    ],
)
def test_messages_that_sns_refuses(home: House, arguments: dict[str, str], text: str) -> None:
    """A message beyond SNS's rules is refused with AWS's own words."""
    topic = home.topic()
    with pytest.raises(errors.InvalidParameter) as refusal:
        home.publish(topic, **arguments)
    assert refusal.value.message == text


def test_message_of_exactly_the_maximum(home: House) -> None:
    """262,144 bytes are a message; attributes count as well."""
    topic = home.topic()
    home.publish(topic, "x" * 262_144)
    with pytest.raises(errors.InvalidParameter, match="too long"):
        home.publish(topic, "x" * 262_144, attributes={"k": {"DataType": "String", "StringValue": "v"}})


@pytest.mark.parametrize(
    "attribute",
    [
        {"DataType": "Float", "StringValue": "1"},
        {"DataType": "String", "StringValue": ""},
        {"DataType": "Number", "StringValue": "one"},
        {"DataType": "Binary", "StringValue": "x"},
        {"DataType": "String", "BinaryValue": b"x"},
        {},
    ],
)
def test_attributes_that_sns_refuses(home: House, attribute: dict[str, str]) -> None:
    """An attribute without a supported type and a fitting value is refused."""
    topic = home.topic()
    with pytest.raises(errors.InvalidParameterValue):
        home.publish(topic, "x", attributes={"k": attribute})


def test_structure_json_has_one_text_for_each_protocol(home: House) -> None:
    """With MessageStructure json a protocol gets its own text, else the default."""
    topic = home.topic()
    home.subscribe(topic, "lambda", FUNCTION)
    message_id = home.publish(topic, '{"default":"for all","lambda":"for functions","sms":5}', structure="json")
    with home.database.read() as look:
        message = deliveries.message(look, message_id)
    assert [message.text_for(one) for one in ("lambda", "http", "sms")] == ["for functions", "for all", "for all"]


def test_unknown_topics(home: House) -> None:
    """A topic that does not exist, is elsewhere, or is no ARN is refused in AWS's words."""
    for arn in ("arn:aws:sns:us-east-1:123456789012:None", "arn:aws:sns:eu-west-1:123456789012:None"):
        with pytest.raises(errors.NotFound, match="Topic does not exist"):
            home.publish(arn, "x")
    with pytest.raises(errors.InvalidParameter, match="An ARN must have at least 6 elements, not 1"):
        home.publish("None", "x")


# --- subscribing and confirming ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "endpoint", "text"),
    [
        ("sqs", "arn:aws:sqs:us-east-1:123456789012:q", "Amazon SNS does not support this protocol string: sqs"),
        ("http", "https://example.com", "Endpoint must match the specified protocol"),
        ("https", "http://example.com", "Endpoint must match the specified protocol"),
        ("http", "http://", "Endpoint must match the specified protocol"),
        ("http", "http://a\r\nX: y/", "Endpoint must match the specified protocol"),
        ("http", "http://u:p[@[::1/", "Endpoint must match the specified protocol"),
        ("http", "file:///etc/passwd", "Endpoint must match the specified protocol"),
        ("http", "http://" + "a" * 2048, "Endpoint must match the specified protocol"),
        ("email", "ops@example.com\r\nBcc: x@y.z", "Email address"),
        ("email", "Ops <ops@example.com>", "Email address"),
        ("lambda", "IsolateDevice", "Lambda endpoint ARN"),
        ("lambda", "arn:aws:lambda:us-east-1:999999999999:function:IsolateDevice", "Lambda endpoint ARN"),
        ("email", "", "Endpoint"),
    ],
)
def test_endpoints_that_are_refused(home: House, protocol: str, endpoint: str, text: str) -> None:
    """An endpoint must be one that its protocol can serve."""
    topic = home.topic()
    with pytest.raises(errors.InvalidParameter) as refusal:
        home.subscribe(topic, protocol, endpoint)
    assert refusal.value.message == f"Invalid parameter: {text}"


def test_function_must_exist(home: House) -> None:
    """Subscribing a function that does not exist is refused and says so."""
    home.functions.exists = False
    with pytest.raises(errors.InvalidParameter, match="does not exist"):
        home.subscribe(home.topic(), "lambda", FUNCTION)


@pytest.mark.parametrize(("setting", "allowed"), [("any", ["http", "https"]), ("https", ["https"]), ("none", [])])
def test_setting_narrows_http_subscribers(tmp_path: Path, setting: str, allowed: list[str]) -> None:
    """The setting http_subscribers says which HTTP endpoints may subscribe."""
    made = house(tmp_path, http_subscribers=setting)
    topic = made.topic()
    for protocol in ("http", "https"):
        if protocol in allowed:
            made.subscribe(topic, protocol, f"{protocol}://127.0.0.1/")
        else:
            with pytest.raises(errors.InvalidParameter, match="http_subscribers"):
                made.subscribe(topic, protocol, f"{protocol}://127.0.0.1/")
    made.database.close()


def test_token_is_kept_as_a_hash_only(home: House, tmp_path: Path) -> None:
    """The store holds the hash of a confirmation token, never the token."""
    arn = home.subscribe(home.topic(), "email", MAIL)
    secret = token(home, arn)
    with home.database.transaction(home.clock()) as tx:
        tx.execute(sa.text("SELECT 1"))
        assert tx.scalar(sa.select(tables.subscriptions.c.token_hash)) == token_hash(secret)
    home.database.close()
    assert secret.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))


def test_token_lives_two_days(home: House) -> None:
    """A token confirms within two days, and not at their end."""
    topic = home.topic()
    arn = home.subscribe(topic, "email", MAIL)
    later(home, 2 * DAY)
    with pytest.raises(errors.InvalidParameter, match="Invalid parameter: Token"):
        home.confirm(topic, token(home, arn))
    later(home, -1)
    assert home.confirm(topic, token(home, arn)) == arn


@pytest.mark.parametrize(("wrong", "text"), [("x", "Invalid token"), ("0" * 64, "Invalid parameter: Token")])
def test_wrong_tokens(home: House, wrong: str, text: str) -> None:
    """A token that is none, and one that is nobody's, are refused in AWS's words."""
    topic = home.topic()
    home.subscribe(topic, "email", MAIL)
    with pytest.raises(errors.InvalidParameter) as refusal:
        home.confirm(topic, wrong)
    assert refusal.value.message == text


def test_token_of_another_topic(home: House) -> None:
    """A token confirms only under the topic it was made for."""
    home.topic("Other")
    arn = home.subscribe(home.topic(), "email", MAIL)
    with pytest.raises(errors.InvalidParameter, match="Invalid parameter: Topic"):
        home.confirm("arn:aws:sns:us-east-1:123456789012:Other", token(home, arn))


def test_subscribing_again_returns_the_same_subscription(home: House) -> None:
    """The same endpoint has one subscription; a pending one is sent its confirmation again, with the same token."""
    topic = home.topic()
    first = home.subscribe(topic, "email", MAIL)
    secret = token(home, first)
    assert home.subscribe(topic, "email", MAIL) == first
    assert (token(home, first), len(home.log(topic))) == (secret, 2)
    home.confirm(topic, secret)
    assert home.subscribe(topic, "email", MAIL) == first
    assert len(home.log(topic)) == 2


def test_subscribing_again_with_other_attributes(home: House) -> None:
    """A subscription that exists with different attributes is a conflict."""
    topic = home.topic()
    home.subscribe(topic, "lambda", FUNCTION)
    with pytest.raises(errors.InvalidParameter, match="already exists with different attributes"):
        home.subscribe(topic, "lambda", FUNCTION, FilterPolicy='{"k":["v"]}')


def test_authenticate_on_unsubscribe(home: House) -> None:
    """A subscription confirmed with AuthenticateOnUnsubscribe ends by a signed request only."""
    topic = home.topic()
    arn = home.subscribe(topic, "email", MAIL)
    with home.database.transaction(home.clock()) as tx:
        home.notifier.confirm(tx, topic, token(home, arn), authenticated=True, authenticate_on_unsubscribe=True)
    with pytest.raises(errors.AuthorizationError), home.database.transaction(home.clock()) as tx:
        home.notifier.unsubscribe(tx, arn, authenticated=False)
    with home.database.transaction(home.clock()) as tx:
        home.notifier.unsubscribe(tx, arn, authenticated=True)
        assert subscriptions.find(tx, arn.rpartition(":")[2]) is None


def test_old_token_cannot_restore_an_ended_subscription(home: House) -> None:
    """The token that confirmed a subscription is worthless once the subscription has ended."""
    topic = home.topic()
    arn = home.subscribe(topic, "email", MAIL)
    secret = token(home, arn)
    home.confirm(topic, secret)
    with home.database.transaction(home.clock()) as tx:
        home.notifier.unsubscribe(tx, arn)
    with pytest.raises(errors.InvalidParameter, match="Token"):
        home.confirm(topic, secret)
    assert home.confirm(topic, token(home, arn)) == arn


def test_restoring_beside_a_new_subscription(home: House) -> None:
    """An ended subscription is not restored when its endpoint has subscribed anew meanwhile."""
    topic = home.topic()
    arn = home.subscribe(topic, "email", MAIL)
    home.confirm(topic, token(home, arn))
    with home.database.transaction(home.clock()) as tx:
        home.notifier.unsubscribe(tx, arn)
    assert home.subscribe(topic, "email", MAIL) != arn
    with pytest.raises(errors.InvalidParameter, match="Token"):
        home.confirm(topic, token(home, arn))


def test_deleting_a_topic_ends_its_subscriptions_but_not_the_log(home: House) -> None:
    """With a topic go its subscriptions; what was delivered stays in the log; deleting again is harmless."""
    topic = home.topic()
    arn = home.subscribe(topic, "lambda", FUNCTION)
    home.publish(topic, "x")
    for _ in range(2):
        with home.database.transaction(home.clock()) as tx:
            topics.delete(tx, "BadIoTDevices", topic)
    with home.database.read() as look:
        assert subscriptions.find(look, arn.rpartition(":")[2], deleted=True) is None
    assert len(home.log(topic)) == 1


# --- forgetting -------------------------------------------------------------------------------------------------------


def test_forgets_the_old_but_nothing_undelivered(home: House) -> None:
    """Told messages go after two weeks, unconfirmed subscriptions after two days; what is still to be told stays."""
    topic = home.topic()
    home.subscribe(topic, "lambda", FUNCTION)
    pending = home.subscribe(topic, "email", MAIL)
    told, waiting = home.publish(topic, "told"), home.publish(topic, "waiting")
    with home.database.transaction(home.clock()) as tx:
        deliveries.record(tx, [home.log(message_id=told)[0]["delivery"]], Status.DELIVERED)
    later(home, 15 * DAY)
    with home.database.transaction(home.clock()) as tx:
        retention.forget(tx)
        assert subscriptions.find(tx, pending.rpartition(":")[2]) is None
    assert (home.log(message_id=told), len(home.log(message_id=waiting))) == ([], 1)


def test_forgets_in_chunks(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction forgets so many messages and no more, the oldest first, also of those beyond the maximum."""
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "MAX_MESSAGES", 1)
    topic, kept = home.topic(), []
    for number in range(5):
        later(home, 1)
        home.publish(topic, str(number))
    for _ in range(4):
        with home.database.transaction(home.clock()) as tx:
            retention.forget(tx)
            kept.append(
                [
                    row["text"]
                    for row in tx.all(sa.select(tables.messages.c.text).order_by(tables.messages.c.created_at))
                ]
            )
    assert kept == [["2", "3", "4"], ["4"], ["4"], ["4"]]


def test_outbox_is_bounded(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local outbox keeps the newest mails."""
    monkeypatch.setattr(outbox, "MAX_MAILS", 3)
    for number in range(5):
        mail = Mail(str(number), "m", "a@b", "", MAIL, f"s{number}", "body", 0)
        with home.database.transaction(home.clock()) as tx:
            outbox._keep(mail)(tx)
    assert [mail["subject"] for mail in home.mails()] == ["s4", "s3", "s2"]


# --- addresses, headers, keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["a@b", "ops+iot@example.co.uk", "root@localhost", "x" * 64 + "@example.com"])
def test_addresses(address: str) -> None:
    """Plain addresses are addresses."""
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        *("a", "@b", "a@", "a@@b", "a b@c", "a@b..c", ".a@b", "a.@b", "a..b@c", "a@-b", "a@b-", "a@b,c@d", "<a@b>"),
        *(
            '"a b"@c',
            "a@b\n",
            "a\r\n@b",
            "a@[127.0.0.1]",
            "ä@b",
            "x" * 65 + "@b",
            "a@" + "b" * 64,
            "a@" + "b." * 127 + "b",
        ),
    ],
)
def test_no_addresses(address: str) -> None:
    """Anything that could smuggle a second recipient, a name or a header is no address."""
    assert not is_address(address)


@given(st.text(max_size=300), st.text(max_size=300))
def test_mail_headers_cannot_be_injected(subject: str, name: str) -> None:
    """Whatever a subject or a display name holds, a mail has exactly the headers we gave it."""
    mail = Mail("id", "m", "fleet@example.com", name, MAIL, subject_line(subject), "body", 0)
    parts = mime(mail).as_bytes().split(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0] for line in parts if line[:1] not in (b" ", b"\t")]
    assert sorted(names) == sorted(
        [
            *(b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted"),
            *(b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version"),
        ]
    )


def test_password_of_an_endpoint_is_hidden() -> None:
    """The password in an endpoint's URL is never shown."""
    assert masked("https://user:secret@example.com/x?y") == "https://user:****@example.com/x?y"
    assert masked("https://example.com/x") == "https://example.com/x"


def test_signing_key_is_made_once_and_private(tmp_path: Path) -> None:
    """The key is readable by its owner only, survives a restart, and a certificate of another key is noticed."""
    first, second = Signer.load_or_create(tmp_path, 0), Signer.load_or_create(tmp_path, 1)
    assert first.certificate_path == second.certificate_path
    assert first.token("x") == second.token("x") != first.token("y")
    for name in (KEY_FILE, CERTIFICATE_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    Signer.load_or_create(tmp_path / "other", 0)
    (tmp_path / CERTIFICATE_FILE).write_bytes((tmp_path / "other" / CERTIFICATE_FILE).read_bytes())
    with pytest.raises(ValueError, match="do not belong together"):
        Signer.load_or_create(tmp_path, 0)
