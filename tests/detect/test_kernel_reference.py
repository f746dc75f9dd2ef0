"""The kernel says what a naive per-device reading of the specification says, on any stream."""

from __future__ import annotations

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_streams import NAMES, streams
from naive_kernel import NaiveKernel

from fleetward.detect import slots
from fleetward.detect.inputs import Enroll, EnrollMany
from fleetward.detect.kernel import Kernel, Outcome
from fleetward.store.journal import Journal

slots._FIRST_SIZE = 1  # so that every array has to grow

LOOSE = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def told(outcome: Outcome, open_violations: dict) -> list:
    """What an outcome says, as the naive kernel words it; checks on the way that ids and explanations hang together."""
    said, known = [], dict(open_violations)
    for event in outcome.events:
        key = event.behavior.key
        assert len(event.violation_id) == 32
        if event.kind == "in-alarm":
            assert event.violation_id not in open_violations
            open_violations[event.violation_id] = known[event.violation_id] = (event.thing, key)
        else:
            assert open_violations.pop(event.violation_id) == (event.thing, key)
        why = event.explanation
        assert (why is None) == bool(event.reason)
        if why:
            assert why.value == event.value
            assert why.window_start <= event.time
            assert why.early or why.window_end == event.time
        said.append((event.kind.value, event.thing, key, event.value, why and why.threshold, event.time))
    for progress in outcome.progress:
        thing, key = known[progress.violation_id]
        said.append(("progress", thing, key, progress.value, None, progress.time))
    return sorted(said, key=repr)


def naively(events: list) -> list:
    hide = {"progress"}
    return sorted(((*e[:4], None if e[0] in hide else e[4], e[5]) for e in events), key=lambda e: repr(_floated(e)))


def _floated(event: tuple) -> tuple:
    threshold = event[4]
    return (*event[:4], threshold if threshold is None or isinstance(threshold, tuple) else float(threshold), event[5])


@settings(LOOSE, max_examples=250)
@given(streams, st.booleans())
def test_the_kernel_agrees_with_the_naive_reading(stream, strict):
    """For every input the kernel tells the same events with the same values, thresholds and times as the oracle."""
    kernel, naive, open_violations = Kernel(strict_grid=strict), NaiveKernel(strict), {}
    ever: set[str] = set()
    for item in stream:
        outcome = kernel.feed(item)
        raised = [event.violation_id for event in outcome.events if event.kind == "in-alarm"]
        assert not ever & set(raised), "a violation id is never used twice"
        ever |= set(raised)
        mine = told(outcome, open_violations)
        assert mine == [_floated(event) for event in naively(naive.feed(item))]


@settings(LOOSE, max_examples=60)
@given(streams, st.data())
def test_a_pickled_kernel_goes_on_as_if_nothing_had_happened(stream, data):
    """A kernel that was pickled and restored at any point answers the rest of the stream identically."""
    cut = data.draw(st.integers(0, len(stream)))
    kernel = Kernel()
    for item in stream[:cut]:
        kernel.feed(item)
    restored = pickle.loads(pickle.dumps(kernel))
    for item in stream[cut:]:
        here, there = kernel.feed(item), restored.feed(item)
        assert (here.events, here.progress) == (there.events, there.progress)


@settings(LOOSE, max_examples=30)
@given(streams, st.data())
def test_snapshot_and_log_give_the_same_again(stream, data):
    """After a crash at any point, snapshot and log yield the same kernel, and tell again what came since."""
    kept, crashed = sorted((data.draw(st.integers(0, len(stream))), data.draw(st.integers(0, len(stream)))))
    kernel, outcomes = Kernel(), []
    with TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder))
        journal.recover(Kernel)
        for number, item in enumerate(stream[:crashed]):
            if number == kept:
                journal.snapshot(kernel)
                outcomes.clear()
            journal.append(item)
            outcomes.append(kernel.feed(item))
        journal.close()
        again, replayed = Journal.open(Path(folder)).recover(Kernel)
    assert [(o.events, o.progress) for o in replayed] == [(o.events, o.progress) for o in outcomes]
    assert again.open_violations() == kernel.open_violations()
    for item in stream[crashed:]:
        here, there = kernel.feed(item), again.feed(item)
        assert (here.events, here.progress, here.data) == (there.events, there.progress, there.data)


@settings(LOOSE, max_examples=100)
@given(streams, st.data())
def test_many_things_at_once_are_as_one_by_one(stream, data):
    """Things enrolled together, be they known, new or renumbered, are watched as those enrolled singly are."""
    cut = data.draw(st.integers(0, len(stream)))
    singly, together = Kernel(), Kernel()
    for item in stream[:cut]:
        singly.feed(item)
        together.feed(item)
    now = singly.watermark or 0
    groups = data.draw(st.sampled_from((frozenset(), frozenset({"g"}))))
    names = {**NAMES, **{id: f"late-{id}" for id in range(50, 70)}, 70: NAMES[1]}
    for id in {1, 4, 70} - {data.draw(st.sampled_from((1, 4, 70)))}:
        del names[id]  # no name twice
    things = [Enroll(now, id, name, groups) for id, name in names.items() if id > 0]
    here = [event for thing in things for event in singly.feed(thing).events]
    assert sorted(here, key=repr) == sorted(together.feed(EnrollMany.of(now, things)).events, key=repr)
    assert singly.things() == together.things()
    for item in stream[cut:]:
        one, many = singly.feed(item), together.feed(item)
        for part in ("events", "progress", "data"):  # in whatever order: it goes by the slots they got
            assert sorted(getattr(one, part), key=repr) == sorted(getattr(many, part), key=repr)
