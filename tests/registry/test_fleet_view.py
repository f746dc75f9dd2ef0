"""The change feed and the view it feeds: what a commit changed is what every view knows."""

import json
from contextlib import suppress
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward import errors
from fleetward.arn import Arns
from fleetward.policy.evaluate import Effect, evaluate
from fleetward.records import Change, PolicyRecord, RecordKind
from fleetward.registry import certificates, groups, policies, things
from fleetward.registry import view as view_module
from fleetward.registry.feed import Feed, read_record
from fleetward.registry.fleet import read_fleet
from fleetward.registry.view import FleetView, thing_context
from fleetward.respond.isolation import IsolationWatch
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import metadata

ARNS = Arns("us-east-1", "123456789012")
SHARED, OTHER = "aa" * 32, "bb" * 32
ALLOW = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})
DENY = ALLOW.replace("Allow", "Deny")


def follow(database):
    """A view that follows the store's feed."""
    view, shifts = FleetView(ARNS), []
    for records in read_fleet(database):
        view.load(records)
    watch = IsolationWatch(view)
    Feed(database).subscribe(lambda changes: shifts.append(watch.apply(changes)))
    return view, shifts


@pytest.fixture
def database(tmp_path):
    made = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def fleet(database):
    """The story's fleet: two sensors that share a certificate, and a group that denies everything."""
    with database.transaction(0) as tx:
        policies.create(tx, "allow", ALLOW)
        policies.create(tx, "deny", DENY)
        groups.create(tx, "isolated")
        policies.attach(tx, "deny", ARNS.iot("thinggroup", "isolated"))
        for certificate in (SHARED, OTHER):
            certificates.add(tx, certificate, "PEM", True, 0, 1)
            policies.attach(tx, "allow", ARNS.iot("cert", certificate))
        for name in ("one", "two"):
            things.create(tx, name, {"site": name})
            certificates.attach_thing(tx, name, ARNS.iot("cert", SHARED))
    return database


@pytest.mark.parametrize("attributes", [{}, {"room": "hall", "floor": ""}])
@pytest.mark.parametrize("group", [None, "isolated"])
def test_a_new_thing_is_known_as_it_would_be_read_back(fleet, attributes, group):
    """What the feed tells of a thing that was just made is what the store says of it."""
    view, _ = follow(fleet)
    with fleet.transaction(7) as tx:
        things.create(tx, "three", attributes)
        if group:
            groups.add_thing(tx, group, "three")
    with fleet.read() as look:
        assert view.thing("three") == read_record(look, RecordKind.THING, "three")


class TestAssociation:
    def test_client_id_and_attachment(self, fleet):
        """A connection stands for a thing when the client id is its name and the certificate is attached to it."""
        view, _ = follow(fleet)
        assert view.association(SHARED, "one").name == "one"
        assert view.association(SHARED, "else") is None
        assert view.association(OTHER, "one") is None
        assert view.association("cc" * 32, "one") is None

    def test_exclusive_thing(self, fleet):
        """A certificate that is exclusive to a thing stands for it under any client id."""
        view, _ = follow(fleet)
        with fleet.transaction(1) as tx:
            things.create(tx, "three")
            certificates.attach_thing(tx, "three", ARNS.iot("cert", OTHER), exclusive=True)
        assert view.association(OTHER, "whatever").name == "three"


class TestIsolation:
    def test_only_the_thing_in_the_group(self, fleet):
        """Isolation is the thing's, not its certificate's: a twin that shares the certificate stays free."""
        view, shifts = follow(fleet)
        with fleet.transaction(1) as tx:
            groups.add_thing(tx, "isolated", "two")
        assert view.is_isolated("two")
        assert not view.is_isolated("one")
        assert view.isolated_things() == {"two"} == set(view.isolated_things_of(SHARED))
        assert shifts[-1].isolated == ("two",)

    @pytest.mark.parametrize("door", ["leave", "detach", "version", "group"])
    def test_every_way_out_is_a_release(self, fleet, door):
        """Leaving isolation is noticed whichever part of the registry changed."""
        with fleet.transaction(1) as tx:
            groups.add_thing(tx, "isolated", "two")
        view, shifts = follow(fleet)
        with fleet.transaction(2) as tx:
            if door == "leave":
                groups.remove_thing(tx, "isolated", "two")
            elif door == "detach":
                policies.detach(tx, "deny", ARNS.iot("thinggroup", "isolated"))
            elif door == "version":
                policies.create_version(tx, "deny", ALLOW, as_default=True)
            else:
                groups.delete(tx, "isolated")
        assert shifts[-1].released == ("two",)
        assert not view.is_isolated("two")

    def test_ancestor_group(self, fleet):
        """A policy on an ancestor group isolates the things of the groups below it."""
        view, _ = follow(fleet)
        with fleet.transaction(1) as tx:
            groups.create(tx, "suspects", parent="isolated")
            groups.add_thing(tx, "suspects", "one")
        assert view.isolated_things() == {"one"}
        assert view.things_in("isolated") == {"one"}

    def test_no_policy_is_no_isolation(self, fleet):
        """A thing whose policies merely do not allow it to connect is not isolated."""
        with fleet.transaction(1) as tx:
            things.create(tx, "three")
        view, _ = follow(fleet)
        assert not view.is_isolated("three")


def test_unreadable_policy_denies(fleet):
    """A stored policy that this version cannot read denies everything, until it is replaced by one that it can read."""
    view, _ = follow(fleet)
    view.apply(Change(99, RecordKind.POLICY, "allow", PolicyRecord("allow", '{"Statement": "of another age"}')))
    assert view.unreadable == {"allow"}
    assert view.isolated_things() == {"one", "two"}
    view.apply(Change(100, RecordKind.POLICY, "allow", PolicyRecord("allow", ALLOW)))
    assert view.unreadable == set() == view.isolated_things()


NAMES = st.sampled_from(["one", "two", "three"])
GROUPS = st.sampled_from(["isolated", "g1", "g2", "g3"])
STEPS = st.one_of(
    st.tuples(st.just("create"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("add"), GROUPS, NAMES),
    st.tuples(st.just("remove"), GROUPS, NAMES),
    st.tuples(st.just("group"), GROUPS, st.none() | GROUPS),
    st.tuples(st.just("ungroup"), GROUPS),
    st.tuples(st.just("attach"), st.sampled_from(["allow", "deny"]), GROUPS),
    st.tuples(st.just("detach"), st.sampled_from(["allow", "deny"]), GROUPS),
    st.tuples(st.just("pin"), NAMES, st.sampled_from([SHARED, OTHER])),
    st.tuples(st.just("unpin"), NAMES, st.sampled_from([SHARED, OTHER])),
    st.tuples(st.just("license"), st.sampled_from(["allow", "deny"]), st.sampled_from([SHARED, OTHER])),
    st.tuples(st.just("revoke"), st.sampled_from(["allow", "deny"]), st.sampled_from([SHARED, OTHER])),
    st.tuples(st.just("version"), st.sampled_from([ALLOW, DENY])),
)


def take(tx, step):
    match step:
        case ("create", name):
            things.create(tx, name, {"site": name})
        case ("delete", name):
            things.delete(tx, name)
        case ("add", group, name):
            groups.add_thing(tx, group, name)
        case ("remove", group, name):
            groups.remove_thing(tx, group, name)
        case ("group", name, parent):
            groups.create(tx, name, parent)
        case ("ungroup", name):
            groups.delete(tx, name)
        case ("attach", policy, group):
            policies.attach(tx, policy, ARNS.iot("thinggroup", group))
        case ("detach", policy, group):
            policies.detach(tx, policy, ARNS.iot("thinggroup", group))
        case ("pin", name, certificate):
            certificates.attach_thing(tx, name, ARNS.iot("cert", certificate))
        case ("unpin", name, certificate):
            certificates.detach_thing(tx, name, ARNS.iot("cert", certificate))
        case ("license", policy, certificate):
            policies.attach(tx, policy, ARNS.iot("cert", certificate))
        case ("revoke", policy, certificate):
            policies.detach(tx, policy, ARNS.iot("cert", certificate))
        case ("version", document):
            policies.create_version(tx, "allow", document, as_default=True)
        case ("bring", name, certificate):
            certificates.add(tx, certificate, "PEM", True, 0, 1)
            certificates.attach_thing(tx, name, ARNS.iot("cert", certificate))


def test_a_shared_certificate_is_not_walked_for_every_connect(fleet):
    """The isolated things of a certificate with many things are found out once, until one of these is concerned."""
    with fleet.transaction(1) as tx:
        for number in range(2 * view_module.FEW):
            things.create(tx, f"more-{number}", {})
            certificates.attach_thing(tx, f"more-{number}", ARNS.iot("cert", SHARED))
        things.create(tx, "elsewhere", {})
    view, _ = follow(fleet)
    found = view.isolated_things_of(SHARED)
    with fleet.transaction(2) as tx:
        groups.add_thing(tx, "isolated", "elsewhere")
    assert view.isolated_things_of(SHARED) is found == frozenset()
    with fleet.transaction(3) as tx:
        groups.add_thing(tx, "isolated", "more-3")
    assert view.isolated_things_of(SHARED) == {"more-3"}


def naive_isolated_things_of(view, certificate_id):
    """Each of the certificate's things looked at, nothing remembered: all of its certificates must be denied."""
    found = set()
    for name in view.certificate(certificate_id).things if view.certificate(certificate_id) else ():
        thing = view.thing(name)
        bearers = [one.id for one in view.certificates() if name in one.things]
        denied = [
            evaluate(
                view.policies_of(bearer, thing), "iot:Connect", ARNS.iot("client", name), thing_context(thing, name)
            ).effect
            is Effect.EXPLICIT_DENY
            for bearer in bearers
        ]
        found |= {name} if all(denied) else set()
    return found


@given(
    steps=st.lists(STEPS | st.tuples(st.just("bring"), NAMES, st.sampled_from(["cc" * 32, "dd" * 32])), max_size=25),
    few=st.sampled_from([0, 1, view_module.FEW]),
)
@settings(max_examples=40)
def test_what_is_remembered_of_a_certificate_is_what_a_walk_finds(tmp_path_factory, steps, few):
    """However the fleet changes, the isolated things of a certificate are those that a look at each of them finds."""
    database = Database(sqlite_url(tmp_path_factory.mktemp("isolated") / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(0) as tx:
        policies.create(tx, "allow", ALLOW)
        policies.create(tx, "deny", DENY)
        for certificate in (SHARED, OTHER):
            certificates.add(tx, certificate, "PEM", True, 0, 1)
        for name in ("one", "two", "three"):
            things.create(tx, name, {})
            certificates.attach_thing(tx, name, ARNS.iot("cert", SHARED))
        groups.create(tx, "isolated")
        policies.attach(tx, "deny", ARNS.iot("thinggroup", "isolated"))
    view, _ = follow(database)
    with patch.object(view_module, "FEW", few):
        for step in steps:
            with suppress(errors.Refusal), database.transaction(1) as tx:
                take(tx, step)
            for certificate in (SHARED, OTHER, "cc" * 32, "dd" * 32):
                assert view.isolated_things_of(certificate) == naive_isolated_things_of(view, certificate)
    database.close()


@given(steps=st.lists(STEPS, max_size=15))
@settings(max_examples=20)
def test_following_equals_reading_anew(tmp_path_factory, steps):
    """A view that followed the feed step by step is the view of a reader who starts now, isolation included."""
    database = Database(sqlite_url(tmp_path_factory.mktemp("feed") / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(0) as tx:
        policies.create(tx, "allow", ALLOW)
        policies.create(tx, "deny", DENY)
        for certificate in (SHARED, OTHER):
            certificates.add(tx, certificate, "PEM", True, 0, 1)
    followed, _ = follow(database)
    for step in steps:
        try:
            with database.transaction(1) as tx:
                take(tx, step)
        except errors.Refusal:
            continue
    fresh, _ = follow(database)
    assert {thing.name: thing for thing in followed.things()} == {thing.name: thing for thing in fresh.things()}
    assert {c.id: c for c in followed.certificates()} == {c.id: c for c in fresh.certificates()}
    assert followed.isolated_things() == fresh.isolated_things()
    for group in ("isolated", "g1", "g2", "g3"):
        assert followed.group(group) == fresh.group(group)
        assert followed.things_in(group) == fresh.things_in(group)
    database.close()
