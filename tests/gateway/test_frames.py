"""What crosses the socket between the house and a gateway process."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetward.arn import Arns
from fleetward.gateway.doors import Arrival, Drop, Presence, Publish, Retained
from fleetward.gateway.frames import (
    LENGTH,
    Answer,
    Ask,
    Begin,
    Failure,
    Fleet,
    Frames,
    Ready,
    Steps,
    Stop,
    frame,
    unpack,
)
from fleetward.meter.batch import Batch, Cells, TopicCells
from fleetward.model import Demand
from fleetward.records import CertificateRecord, Change, GroupRecord, PolicyRecord, RecordKind, ThingRecord

CHANGES = (
    Change(1, RecordKind.POLICY, "p", PolicyRecord("p", "{}")),
    Change(2, RecordKind.GROUP, "g", GroupRecord("g", None, ("p",))),
    Change(3, RecordKind.CERTIFICATE, "c", CertificateRecord("c", True, ("p",), frozenset({"t"}))),
    Change(4, RecordKind.THING, "t", ThingRecord("t", 7, "lamp", {"room": "1"}, ("g",))),
    Change(5, RecordKind.THING, "u", None),
)
MESSAGES = (
    Begin({"mqtt_port": 0}, Arns("eu-west-1", "1"), ("a", "b", "c"), None, Demand(frozenset({("m", "")}))),
    Fleet([change.record for change in CHANGES if change.record is not None]),
    Steps(list(CHANGES)),
    Ask(1, Publish("t", b"x", 1, True, {"user_property": (("a", "b"),)})),
    Ask(2, Drop("device")),
    Stop(),
    Ready(8883),
    Failure("CannotListen", "taken"),
    Answer(1, (Retained("t", 3, 1),)),
    Answer(2, failure=Failure("ValueError", "no")),
    Arrival("d", "c", "d", "$aws/things/d/shadow/get", b"{}", 1),
    Presence("d", "c", "d", True, "127.0.0.1", 5, 1),
)


@given(st.lists(st.sampled_from(MESSAGES), max_size=8), st.data())
def test_messages_arrive_however_they_are_cut(messages: list[object], data: st.DataObject) -> None:
    """Whatever pieces the bytes come in, the same messages come out in the same order."""
    sent = b"".join(map(frame, messages))
    frames, arrived = Frames(), []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        arrived += frames.feed(sent[:size])
        sent = sent[size:]
    assert arrived == messages


def test_a_batch_arrives_whole() -> None:
    """The columns of a batch are the same numbers on the other side."""
    ids = np.array([1, -5, 2**62], dtype=np.int64)
    cells = {
        ("aws:message-byte-size", ""): Cells(ids, ids, ids, ids, ids),
        ("m", ""): Cells(*[ids] * 5, [(1,), (), ()]),
    }
    batch = Batch("run", 3, 0, 250, {1: "lamp"}, ids, ids[:0], cells, TopicCells(("t",), ids, ids, ids, ids))
    arrived = unpack(frame(batch)[LENGTH.size :])
    assert repr(arrived) == repr(batch)
    assert arrived.connected.dtype == np.int64


@pytest.mark.parametrize("code", [os.system, eval, type, ThingRecord.__init__])
def test_nothing_but_messages_is_unpacked(code: object) -> None:
    """A pickle that names anything else, such as a function to call, is refused before that is looked up."""
    with pytest.raises(pickle.UnpicklingError, match="no part of a message"):
        unpack(pickle.dumps(code))
