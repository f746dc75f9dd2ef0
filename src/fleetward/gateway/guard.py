"""The guard in front of the broker: all connections, what they share, and what a change of the fleet does to them.

A change to a policy, group, thing or certificate marks the connections it may concern. Each of them is decided anew
before it is allowed anything further, and at the latest when the sweep comes to it; those that may not connect any more
are cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from secrets import token_hex

from fleetward.arn import Arns
from fleetward.gateway.access import CONNECT, Access, DecisionPool
from fleetward.gateway.admission import STANDING, Application, first_refusal
from fleetward.gateway.broker import Broker
from fleetward.gateway.client import Client, Link
from fleetward.gateway.deadlines import Deadlines
from fleetward.gateway.doors import Outlets, Presence, Refused
from fleetward.gateway.endings import CUT_OFF, SHUT_DOWN, dropped
from fleetward.gateway.identity import Attribution, Principal
from fleetward.gateway.limits import Limits
from fleetward.meter.meter import Meter
from fleetward.model import Millis
from fleetward.records import Change, RecordKind
from fleetward.registry.view import FleetView, thing_context

SWEEP_SHARE = 32
"""Connections decided anew before the loop turns to others."""

REFUSALS_TOLD = 10


class Guard:
    """What the connections of one gateway share. `first_session` numbers the sessions of this run."""

    def __init__(
        self,
        view: FleetView,
        arns: Arns,
        meter: Meter,
        broker: Broker,
        limits: Limits,
        outlets: Outlets,
        *,
        quarantine_binds_certificate: bool = True,
        connect_refusal_code: int = 5,
        first_session: int = 1,
    ) -> None:
        self.view = view
        self.broker = broker
        self.limits = limits
        self.outlets = outlets
        self.connect_refusal_code = connect_refusal_code
        self.attribution = Attribution(view, meter)
        self._arns = arns
        self._pool = DecisionPool()
        self._binds = quarantine_binds_certificate
        self._next_session = first_session
        self._refusals = self._refusals_since = 0
        self._online: dict[str, Client] = {}
        self._by_certificate: dict[str, dict[Client, None]] = {}
        self._stale: dict[Client, None] = {}
        self._deadlines: Deadlines[Client] = Deadlines()

    # --- connections --------------------------------------------------------------------------------------------------

    def open(self, link: Link, principal: Principal, now: Millis) -> Client:
        """A new connection whose TLS handshake is done; it has the limits' `connect_seconds` to send its CONNECT."""
        client = Client(self, link, principal, now)
        self.watch(client)
        return client

    def enter(self, client: Client, now: Millis) -> None:
        """The client was admitted."""
        client.number = self._next_session
        self._next_session += 1
        self._online[client.client_id] = client
        self._by_certificate.setdefault(client.certificate_id, {})[client] = None
        self._announce(client, "", now)

    def leave(self, client: Client, presence: str, now: Millis) -> None:
        """The client's session has no connection any more."""
        if self._online.get(client.client_id) is client:
            del self._online[client.client_id]
        peers = self._by_certificate.get(client.certificate_id, {})
        peers.pop(client, None)
        if not peers:
            self._by_certificate.pop(client.certificate_id, None)
        self._stale.pop(client, None)
        self._announce(client, presence, now)

    def _announce(self, client: Client, reason: str, now: Millis) -> None:
        self.outlets.presence(
            Presence(
                client_id=client.client_id,
                certificate_id=client.certificate_id,
                device=client.device.name,
                connected=not reason,
                address=client.principal.address,
                session=client.number,
                time=now,
                reason=reason,
            )
        )

    def tell_refused(self, client: Client, why: str, now: Millis) -> None:
        """Tells the house of a refused CONNECT, but of no more than REFUSALS_TOLD in a second."""
        if now - self._refusals_since >= 1000:
            self._refusals_since, self._refusals = now, 0
        self._refusals += 1
        if self._refusals <= REFUSALS_TOLD:
            principal = client.principal
            self.outlets.refused(Refused(client.client_id, client.certificate_id, principal.address, why, now))

    def tell_watches(self, client: Client, action: str, topic: str, why: str, now: Millis) -> None:
        """Tells who watches of a refusal; in place of `why` the policy that decided it, if it was one."""
        watches = self.broker.watches
        if watches.open:
            decided = client.access.why_not(action, topic or client.client_id, now)
            watches.denied(client.device.name or client.client_id, action, topic, decided or why, now)

    def online(self) -> int:
        return len(self._online)

    def assigned_client_id(self) -> str:
        """Cannot be guessed, so that nobody takes it over."""
        return f"auto-{token_hex(16)}"

    # --- deciding -----------------------------------------------------------------------------------------------------

    def access_of(self, principal: Principal, client_id: str) -> Access:
        """The policies of the certificate and of the thing it stands for, and the circumstances they look at."""
        thing = self.view.association(principal.certificate_id, client_id)
        policies = self.view.policies_of(principal.certificate_id, thing)
        return Access(policies, {**principal.context, **thing_context(thing, client_id)}, self._arns, self._pool)

    def application(self, client: Client, now: Millis) -> Application:
        """What is looked at to decide whether the client may connect, or stay."""
        session = self.broker.session(client.client_id)
        return Application(
            client.connect, client.principal, client.access, self.view, self.limits, session, self._binds, now
        )

    def decide_anew(self, client: Client, now: Millis) -> None:
        """Gives a client the identity and the policies it has now, and cuts it off if these refuse it."""
        self._stale.pop(client, None)
        client.refresh()
        if not self.still_admits(client, now):
            self.tell_watches(client, CONNECT, "", "it may not be connected any more", now)
            client.end(CUT_OFF, now)

    def still_admits(self, client: Client, now: Millis) -> bool:
        code, _ = first_refusal(STANDING, self.application(client, now))
        return not code

    # --- changes of the fleet -----------------------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """Takes one step of the feed: nothing that was decided before it counts any more. `sweep` must follow."""
        if not self._by_certificate:  # nobody to be concerned: at the start, where there may be a million changes
            self.view.apply(change)
            return
        concerned = self._concerned(change)
        try:
            self.view.apply(change)
        finally:
            concerned.update(self._concerned(change))
            for client in concerned:
                client.stale = True
            self._stale = concerned | self._stale  # these first: a change to all may still be under way

    def sweep(self, now: Millis) -> bool:
        """Decides some of the marked connections anew; whether more are left."""
        for client in list(islice(self._stale, SWEEP_SHARE)):
            if client in self._stale:
                self.decide_anew(client, now)
        self.broker.settle(now)
        return bool(self._stale)

    def _concerned(self, change: Change) -> dict[Client, None]:
        """The connections a change may concern; asked before and after it."""
        if change.kind in (RecordKind.GROUP, RecordKind.POLICY):
            return {client: None for peers in self._by_certificate.values() for client in peers}
        things = self.view.things_reached_by(change)
        certificates = {identity for thing in things for identity in self.view.certificates_of(thing)}
        if change.kind is RecordKind.CERTIFICATE:
            certificates.add(change.key)
        found = dict(self._of_certificates(certificates))
        found |= {self._online[thing]: None for thing in things if thing in self._online}
        return found

    def _of_certificates(self, certificates: Iterable[str]) -> Iterator[tuple[Client, None]]:
        for certificate in certificates:
            yield from self._by_certificate.get(certificate, {}).items()

    # --- commands and time --------------------------------------------------------------------------------------------

    def drop(self, client_id: str, reason: str, forget: bool, now: Millis) -> bool:
        """Closes the connection of a client; whether one was open. With `forget` its session ends too."""
        client = self._online.get(client_id)
        if client is not None:
            client.end(dropped(reason), now)
        session = self.broker.session(client_id)
        if forget and session is not None:
            self.broker.discard(session)
        self.broker.settle(now)
        return client is not None

    def shut_down(self, now: Millis) -> None:
        for client in list(self._online.values()):
            client.end(SHUT_DOWN, now)

    def watch(self, client: Client) -> None:
        """Looks at the client again when it will be overdue with something."""
        due = client.next_deadline()
        if due is None:
            self._deadlines.cancel(client)
        else:
            self._deadlines.set(client, due)

    def forget_deadline(self, client: Client) -> None:
        self._deadlines.cancel(client)

    def tick(self, now: Millis) -> None:
        """Ends what is overdue; to be called a few times a second."""
        for client in self._deadlines.pop_due(now):
            client.look_at_deadlines(now)
        if self.broker.watches.open:
            self.broker.watches.expire(now)
        self.broker.tick(now)
