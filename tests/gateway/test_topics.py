"""Topic filters against a naive oracle, and the two trees against the one-by-one match."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetward.gateway.messages import Message
from fleetward.gateway.retained import RetainedMessages
from fleetward.gateway.topics import SubscriptionTree, is_topic_filter, is_topic_name, matches

LEVELS = st.sampled_from(["", "a", "b", "$x", "ab"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(st.lists(st.one_of(LEVELS, st.just("+")), max_size=3), st.sampled_from(["a", "+", "#", ""]))
    .map(lambda parts: "/".join([*parts[0], parts[1]]))
    .filter(bool)
)


def _keys(found: Iterable[tuple[int, str]]) -> tuple[int, ...]:
    return tuple(sorted(key for key, _ in found))


def oracle(text: str, topic: str) -> bool:
    """MQTT §4.7, read word for word, by recursion over the levels."""
    if topic[0] == "$" and text[0] in "+#":
        return False

    def match(pattern: list[str], levels: list[str]) -> bool:
        if pattern == ["#"]:
            return True
        if not pattern or not levels:
            return not pattern and not levels
        return pattern[0] in ("+", levels[0]) and match(pattern[1:], levels[1:])

    return match(text.split("/"), topic.split("/"))


@pytest.mark.parametrize(
    ("text", "topic", "expected"),
    [
        ("sport/#", "sport", True),
        ("sport/#", "sport/tennis/player1", True),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
    ],
)
def test_the_standard_s_own_examples(text: str, topic: str, expected: bool) -> None:
    """The examples of §4.7 hold: `#` matches its parent, leading wildcards do not see `$` topics."""
    assert matches(text, topic) is expected


@given(FILTERS, TOPICS)
def test_match_agrees_with_the_oracle(text: str, topic: str) -> None:
    """A filter matches a topic exactly when the standard's words say so."""
    assert matches(text, topic) == oracle(text, topic)


@given(st.lists(FILTERS, max_size=8), st.lists(TOPICS, min_size=1, max_size=4), st.data())
def test_tree_finds_what_matches(filters: list[str], topics: list[str], data: st.DataObject) -> None:
    """The tree finds each subscription whose filter matches, and no other, also after some were removed."""
    tree: SubscriptionTree[int, str, tuple[int, ...]] = SubscriptionTree(_keys, remembered=4)
    for key, text in enumerate(filters):
        tree.add(text, key, text)
    kept = dict(enumerate(filters))
    for topic in topics:
        assert tree.route(topic) == tuple(key for key, text in kept.items() if oracle(text, topic))
        if kept:
            gone = data.draw(st.sampled_from(sorted(kept)))
            tree.remove(kept.pop(gone), gone)
        assert tree.route(topic) == tuple(key for key, text in kept.items() if oracle(text, topic))


@given(st.lists(TOPICS, max_size=8), FILTERS, st.data())
def test_retained_finds_what_matches(topics: list[str], text: str, data: st.DataObject) -> None:
    """A filter finds each retained message whose topic it matches, and no other, also after some were removed."""
    retained = RetainedMessages(100, 100_000)
    for topic in topics:
        assert retained.put(Message(topic, b"x"))
    kept = set(topics)
    if kept:
        gone = data.draw(st.sampled_from(sorted(kept)))
        kept.discard(gone)
        assert retained.remove(gone)
    found = [message.topic for message in retained.find(text) if message]
    assert sorted(found) == sorted(topic for topic in kept if oracle(text, topic))
    assert len(retained) == len(kept)


def test_retained_is_bounded() -> None:
    """Neither more messages nor more bytes are kept than the limits say, and a refused one changes nothing."""
    retained = RetainedMessages(2, 10_000)
    assert retained.put(Message("a", b"x" * 4000))
    assert retained.put(Message("b", b"x" * 4000))
    assert not retained.put(Message("c", b"x"))
    assert not retained.put(Message("a", b"x" * 9000))
    assert retained.put(Message("a", b"y"))
    assert retained.remove("b")
    assert retained.put(Message("c", b"x" * 8000))


def test_every_level_of_a_retained_topic_weighs() -> None:
    """A short message takes a node for each level of its topic, so deep topics fill the room sooner."""
    retained = RetainedMessages(1000, 100_000)
    assert not retained.put(Message("/".join("x" * 400), b"x"))
    assert retained.put(Message("/".join("x" * 300), b"x"))
    assert not retained.put(Message("/".join("y" * 100), b"x"))
    assert retained.remove("/".join("x" * 300))
    assert retained.put(Message("/".join("y" * 100), b"x"))


@pytest.mark.parametrize("text", ["a/#/b", "a#", "a/b+", "", "a\0b", "+a", "##", "#/"])
def test_bad_filters(text: str) -> None:
    """Wildcards stand alone in their level, `#` only at the end [MQTT-4.7.1-2], [MQTT-4.7.1-3]."""
    assert not is_topic_filter(text)


@pytest.mark.parametrize("text", ["#", "+", "a/#", "+/+/#", "/", "//", "a/+/b", "$share/g/t"])
def test_good_filters(text: str) -> None:
    """Everything else is a filter."""
    assert is_topic_filter(text)


@pytest.mark.parametrize(("topic", "expected"), [("a/b", True), ("/", True), ("a+", False), ("#", False), ("", False)])
def test_topic_names(topic: str, expected: bool) -> None:
    """Names have no wildcards [MQTT-3.3.2-2]."""
    assert is_topic_name(topic) is expected
