"""The fleet in memory: an index over the change feed, the same in the house and in every gateway."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from fleetward.arn import Arns
from fleetward.errors import MalformedPolicy
from fleetward.policy.document import Policy, parse
from fleetward.policy.evaluate import Effect, evaluate
from fleetward.records import (
    CertificateRecord,
    Change,
    GroupRecord,
    PolicyRecord,
    Record,
    RecordKind,
    ThingRecord,
)

CONNECT = "iot:Connect"

FEW = 8
"""Things of a certificate that are looked at one by one when its isolated ones are asked for; of more is remembered."""

DENY_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iot:*","Resource":"*"}]}'


class FleetView:
    """Things, groups, certificates and policies as of `version`; answers who is who and whose policies bind."""

    def __init__(self, arns: Arns) -> None:
        self.version = 0
        self._arns = arns
        self._things: dict[str, ThingRecord] = {}
        self._groups: dict[str, GroupRecord] = {}
        self._certificates: dict[str, CertificateRecord] = {}
        self._policies: dict[str, Policy] = {}
        self.unreadable: set[str] = set()
        """Policies whose stored document this version refuses; each denies everything until it is replaced."""
        self._members: defaultdict[str, set[str]] = defaultdict(set)
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._attached: dict[str, tuple[str, ...]] = {}  # a set for each of a million things takes 200 MB
        self._isolation: dict[str, bool] = {}
        self._isolated_of: dict[str, frozenset[str]] = {}  # of certificates with more than a FEW things

    def load(self, records: Iterable[Record]) -> None:
        """Takes some of the fleet as it stands, before any step of the feed."""
        for record in records:
            match record:
                case ThingRecord():
                    self._put_thing(record.name, record)
                case CertificateRecord():
                    self._put_certificate(record.id, record)
                case GroupRecord():
                    self._put_group(record.name, record)
                case PolicyRecord():
                    self._put_policy(record.name, record)

    def apply(self, change: Change) -> None:
        """Takes one step of the feed."""
        self._forget_isolation(change)
        self._put(change)
        self._forget_isolation(change)
        self.version = change.version

    def _put(self, change: Change) -> None:
        match change.kind:
            case RecordKind.THING:
                self._put_thing(change.key, change.record)
            case RecordKind.GROUP:
                self._put_group(change.key, change.record)
            case RecordKind.CERTIFICATE:
                self._put_certificate(change.key, change.record)
            case RecordKind.POLICY:
                self._put_policy(change.key, change.record)
            case RecordKind.AUTHORITY:
                pass  # whose certificates may show themselves is the gateway's business

    # --- who is who ---------------------------------------------------------------------------------------------------

    def thing(self, name: str) -> ThingRecord | None:
        return self._things.get(name)

    def group(self, name: str) -> GroupRecord | None:
        return self._groups.get(name)

    def certificate(self, certificate_id: str) -> CertificateRecord | None:
        return self._certificates.get(certificate_id)

    def things(self) -> Iterator[ThingRecord]:
        yield from self._things.values()

    @property
    def size(self) -> int:
        """How many things there are."""
        return len(self._things)

    def certificates(self) -> Iterator[CertificateRecord]:
        yield from self._certificates.values()

    def certificates_of(self, thing_name: str) -> frozenset[str]:
        return frozenset(self._attached.get(thing_name, ()))

    def association(self, certificate_id: str, client_id: str) -> ThingRecord | None:
        """The thing a connection stands for (developer guide, "Thing policy variables").

        An exclusive attachment names it whatever the client id; otherwise the client id must be the name of a thing
        that the certificate is attached to.
        """
        certificate = self._certificates.get(certificate_id)
        if certificate is None:
            return None
        if certificate.exclusive_thing is not None:
            return self._things.get(certificate.exclusive_thing)
        return self._things.get(client_id) if client_id in certificate.things else None

    def ancestry(self, groups: Iterable[str]) -> tuple[str, ...]:
        """The groups and all their ancestors, each once."""
        found: dict[str, None] = {}
        for name in groups:
            step: str | None = name
            while step is not None and step not in found:
                group = self._groups.get(step)
                if group is None:
                    break
                found[step] = None
                step = group.parent
        return tuple(found)

    def things_in(self, group_name: str) -> set[str]:
        """The things in a group or in any group below it."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = [group_name]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                found |= self._members.get(name, set())
                waiting.extend(self._children.get(name, ()))
        return found

    # --- whose policies bind ------------------------------------------------------------------------------------------

    def policies_of(self, certificate_id: str | None, thing: ThingRecord | None) -> tuple[Policy, ...]:
        """Policies of the certificate, of the thing's groups and of all their ancestors, each once."""
        names: dict[str, None] = {}
        certificate = self._certificates.get(certificate_id) if certificate_id is not None else None
        if certificate is not None:
            names.update(dict.fromkeys(certificate.policies))
        for group in self.ancestry(thing.groups) if thing is not None else ():
            names.update(dict.fromkeys(self._groups[group].policies))
        return tuple(self._policies[name] for name in names if name in self._policies)

    def is_isolated(self, thing_name: str) -> bool:
        """Whether the thing's effective policies deny `iot:Connect`, whichever of its certificates it would use."""
        known = self._isolation.get(thing_name)
        if known is None:
            known = self._isolation[thing_name] = self._decide_isolation(thing_name)
        return known

    def isolated_things_of(self, certificate_id: str) -> frozenset[str]:
        """The things a certificate is attached to that are isolated; asked of each CONNECT, so found out only once."""
        found = self._isolated_of.get(certificate_id)
        if found is None:
            certificate = self._certificates.get(certificate_id)
            things = certificate.things if certificate else frozenset()
            found = frozenset(name for name in things if self.is_isolated(name))
            if len(things) > FEW:
                self._isolated_of[certificate_id] = found
        return found

    def isolated_things(self) -> set[str]:
        """Every isolated thing; looks only at things that some Deny can reach."""
        denying = {name for name, policy in self._policies.items() if policy.denies}
        suspects: set[str] = set()
        for group in self._groups.values():
            if denying.intersection(group.policies):
                suspects |= self.things_in(group.name)
        for certificate in self._certificates.values():
            if denying.intersection(certificate.policies):
                suspects |= certificate.things
        return {name for name in suspects if self.is_isolated(name)}

    def things_reached_by(self, change: Change) -> set[str]:
        """The things whose effective policies `change` may have altered; to be asked before and after it is applied."""
        match change.kind:
            case RecordKind.THING:
                return {change.key}
            case RecordKind.GROUP:
                return self.things_in(change.key)
            case RecordKind.CERTIFICATE:
                return _things_reached(self._certificates.get(change.key), change.record)
            case RecordKind.POLICY:
                return self._things_under_policy(change.key)
            case RecordKind.AUTHORITY:
                return set()

    def _things_under_policy(self, policy: str) -> set[str]:
        found: set[str] = set()
        for group in self._groups.values():
            if policy in group.policies:
                found |= self.things_in(group.name)
        for certificate in self._certificates.values():
            if policy in certificate.policies:
                found |= certificate.things
        return found

    def _decide_isolation(self, thing_name: str) -> bool:
        thing = self._things.get(thing_name)
        if thing is None:
            return False
        certificates: Iterable[str | None] = self._attached.get(thing_name) or (None,)
        return all(self._denies_connect(certificate, thing) for certificate in certificates)

    def _denies_connect(self, certificate_id: str | None, thing: ThingRecord) -> bool:
        outcome = evaluate(
            self.policies_of(certificate_id, thing),
            CONNECT,
            self._arns.iot("client", thing.name),
            thing_context(thing, thing.name),
        )
        return outcome.effect is Effect.EXPLICIT_DENY

    # --- taking a step ------------------------------------------------------------------------------------------------

    def _forget_isolation(self, change: Change) -> None:
        if change.kind is RecordKind.CERTIFICATE:
            self._isolated_of.pop(change.key, None)
        for thing in self.things_reached_by(change) if self._isolation else ():
            self._isolation.pop(thing, None)
            for certificate in self._attached.get(thing, ()):
                self._isolated_of.pop(certificate, None)

    def _put_thing(self, name: str, record: Record | None) -> None:
        before = self._things.pop(name, None)
        for group in before.groups if before else ():
            self._members[group].discard(name)
        if isinstance(record, ThingRecord):
            self._things[name] = record
            for group in record.groups:
                self._members[group].add(name)

    def _put_group(self, name: str, record: Record | None) -> None:
        before = self._groups.pop(name, None)
        if before is not None and before.parent is not None:
            self._children[before.parent].discard(name)
        if isinstance(record, GroupRecord):
            self._groups[name] = record
            if record.parent is not None:
                self._children[record.parent].add(name)

    def _put_certificate(self, certificate_id: str, record: Record | None) -> None:
        before = self._certificates.pop(certificate_id, None)
        for thing in before.things if before else ():
            self._detach(thing, certificate_id)
        if isinstance(record, CertificateRecord):
            self._certificates[certificate_id] = record
            for thing in record.things:
                self._attached[thing] = (*self._attached.get(thing, ()), certificate_id)

    def _detach(self, thing: str, certificate_id: str) -> None:
        left = tuple(other for other in self._attached.pop(thing) if other != certificate_id)
        if left:
            self._attached[thing] = left

    def _put_policy(self, name: str, record: Record | None) -> None:
        self._policies.pop(name, None)
        self.unreadable.discard(name)
        if isinstance(record, PolicyRecord):
            try:
                self._policies[name] = parse(record.document, name)
            except MalformedPolicy:
                # Stored by a version with other rules. What its Denies meant is unknown, so it denies everything.
                self._policies[name] = parse(DENY_ALL, name)
                self.unreadable.add(name)


def _things_reached(before: CertificateRecord | None, after: Record | None) -> set[str]:
    """The things that a step of their certificate reaches. While its policies stay these are only the things that come
    or go, so that attaching thousands one by one does not reach all of them each time.
    """
    things = before.things if before else frozenset()
    if not isinstance(after, CertificateRecord):
        return set(things)
    if before is not None and before.policies != after.policies:
        return set(things | after.things)
    return set(things ^ after.things)


def thing_context(thing: ThingRecord | None, client_id: str) -> dict[str, str]:
    """The policy context keys that follow from the client id and the thing it stands for."""
    context = {
        "iot:ClientId": client_id,
        "iot:Connection.Thing.IsAttached": "true" if thing is not None else "false",
    }
    if thing is not None:
        context["iot:Connection.Thing.ThingName"] = thing.name
        if thing.type_name is not None:
            context["iot:Connection.Thing.ThingTypeName"] = thing.type_name
        for key, value in thing.attributes.items():
            context[f"iot:Connection.Thing.Attributes[{key}]"] = value
    return context
