"""The one place that decides whether a caller may do what it asks for, by the very evaluator that devices meet.

An explicit deny anywhere wins; else an identity-based policy must allow and, where a session has policies of its own,
one of those as well (IAM user guide, "Policy evaluation logic"). The root user may everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from fleetward import errors
from fleetward.access import documents, trust
from fleetward.access.entities import ROLE, USER
from fleetward.access.holders import Holder, Holders
from fleetward.access.keys import AccessKey
from fleetward.access.principals import Kind, Principal, principal_of
from fleetward.access.requirements import Params, Requirement, Requirements
from fleetward.arn import Arns
from fleetward.model import Millis
from fleetward.policy.document import Policy
from fleetward.policy.evaluate import Effect, Outcome, evaluate
from fleetward.policy.request import Context
from fleetward.store.database import Database, Reader

NO_TEMPORARY = ("iam", "sts")
"""Services that the session of a user may not call (STS API reference, GetSessionToken) …"""
TEMPORARY_MAY = frozenset({"sts:AssumeRole", "sts:GetCallerIdentity"})
"""… but for these."""


@dataclass(frozen=True, slots=True)
class Origin:
    """When and from where a request came, and whether over TLS."""

    now: Millis
    address: str = ""
    secure: bool = False


class Authorizer:
    """Decides. Safe to use from several threads."""

    def __init__(self, database: Database, arns: Arns) -> None:
        self._arns = arns
        self._holders = Holders(database, arns)
        self._requirements = Requirements(database, arns)

    def authorise(self, key: AccessKey, service: str, operation: str, params: Params, origin: Origin) -> None:
        """Raises AccessDenied, in AWS's words, unless the holder of the key may do that."""
        if key.principal_arn == self._arns.root and key.session_token is None:
            return
        required = self._requirements.of(service, operation, params, key.principal_arn)
        if required:
            self.check(key, required, self.context(key, origin))

    def check(self, key: AccessKey, requirements: Iterable[Requirement], context: Context) -> None:
        """Raises AccessDenied unless all that is required is allowed."""
        principal = self._principal(key)
        for required in requirements:
            _check_temporary(key, principal, required)
            if principal.kind is Kind.ROOT:
                continue
            identity, session = self._outcomes(key, principal, required, context)
            _refuse_explicit(principal, required, identity, session)
            if not identity.allowed:
                raise _denied(principal, required, "because no identity-based policy allows the {} action")
            if session is not None and not session.allowed:
                raise _denied(principal, required, "because no session policy allows the {} action")

    def check_assume(self, key: AccessKey, role: Holder | None, required: Requirement, context: Context) -> None:
        """As `check`, with the role's trust policy: one that names the caller grants by itself, one that names the
        account leaves it to the caller's own policies (IAM user guide, "Cross-account policy evaluation logic").
        """
        principal = self._principal(key)
        _check_temporary(key, principal, required)
        identity, session = self._outcomes(key, principal, required, context)
        _refuse_explicit(principal, required, identity, session)
        named, account = self._trusted(key, principal, role, {**context, **required.keys})
        if Effect.EXPLICIT_DENY in (named.effect, account.effect):
            raise _denied(principal, required, "with an explicit deny in the role trust policy")
        if not named.allowed and not account.allowed:
            raise _denied(principal, required, "because no role trust policy allows the {} action")
        if not named.allowed and not identity.allowed:
            raise _denied(principal, required, "because no identity-based policy allows the {} action")
        if session is not None and not session.allowed:
            raise _denied(principal, required, "because no session policy allows the {} action")

    def context(self, key: AccessKey, origin: Origin) -> dict[str, str]:
        """The global context keys of a request (IAM user guide, "AWS global condition context keys")."""
        principal = self._principal(key)
        holder = self._holder_of(key, principal)
        found = {
            **moment(origin.now),
            "aws:PrincipalArn": principal.arn if holder is None else holder.arn,
            "aws:PrincipalAccount": principal.account,
            "aws:PrincipalType": principal.kind.value,
            "aws:RequestedRegion": self._arns.region,
            "aws:SecureTransport": "true" if origin.secure else "false",
            "aws:userid": _user_id(principal, holder),
        }
        if origin.address:
            found["aws:SourceIp"] = origin.address
        if principal.kind is Kind.USER:
            found["aws:username"] = principal.name
        if key.session_token is not None:
            found["aws:TokenIssueTime"] = _iso(key.created_at)
        return found

    def user_id(self, key: AccessKey) -> str:
        """What GetCallerIdentity shows as UserId."""
        principal = self._principal(key)
        return _user_id(principal, self._holder_of(key, principal))

    # --- roles as services see them -----------------------------------------------------------------------------------

    def role(self, look: Reader, role_arn: str) -> Holder | None:
        """The role with exactly that ARN."""
        found = self._holders.find(ROLE, role_arn.rsplit("/", 1)[-1], look)
        return found if found is not None and found.arn == role_arn else None

    def trusts(self, role: Holder, service: str, now: Millis, source_arn: str = "") -> bool:
        """Whether `service` may assume the role on behalf of the account's resource `source_arn`."""
        source = {"aws:SourceAccount": self._arns.account, "aws:PrincipalIsAWSService": "true"}
        if source_arn:
            source["aws:SourceArn"] = source_arn
        return role.trust is not None and role.trust.outcome({trust.service(service)}, moment(now) | source).allowed

    def role_may(self, role: Holder, action: str, resource: str, now: Millis) -> bool:
        """Whether a session of the role, made by a service, may do that."""
        context = {
            **moment(now),
            "aws:PrincipalArn": role.arn,
            "aws:PrincipalAccount": self._arns.account,
            "aws:PrincipalType": Kind.ROLE.value,
            "aws:RequestedRegion": self._arns.region,
            "aws:SecureTransport": "true",
        }
        return evaluate(role.policies, action, resource, context).allowed

    # --- inside -------------------------------------------------------------------------------------------------------

    def _principal(self, key: AccessKey) -> Principal:
        principal = principal_of(key.principal_arn)
        if principal is None or (principal.kind is Kind.ROOT and key.principal_arn != self._arns.root):
            raise errors.AccessDenied(f"{key.principal_arn} is nobody who could be authorized.")
        return principal

    def _outcomes(
        self, key: AccessKey, principal: Principal, required: Requirement, context: Context
    ) -> tuple[Outcome, Outcome | None]:
        """What the principal's policies say, and what the session's own policies say, if it has any."""
        if principal.kind is Kind.ROOT:
            return Outcome(Effect.ALLOWED), None
        holder = self._holder_of(key, principal)
        policies = holder.policies if holder is not None else ()
        known = {**context, **required.keys} if required.keys else context
        identity = evaluate(policies, required.action, required.resource, known)
        if key.session_policies is None:
            return identity, None
        return identity, evaluate(self._session_policies(key), required.action, required.resource, known)

    def _trusted(
        self, key: AccessKey, principal: Principal, role: Holder | None, context: Context
    ) -> tuple[Outcome, Outcome]:
        """What the trust policy says of the caller by name, and of the account."""
        nothing = Outcome(Effect.IMPLICIT_DENY)
        if role is None or role.trust is None:
            return nothing, nothing
        holder = self._holder_of(key, principal)
        own = {trust.aws(principal.arn)} | ({trust.aws(holder.arn)} if holder is not None else set())
        return role.trust.outcome(own, context), role.trust.outcome({trust.aws(principal.account)}, context)

    def _session_policies(self, key: AccessKey) -> Iterator[Policy]:
        for text in key.session_policies or ():
            policy = (
                self._holders.managed_policy(text) if text.startswith("arn:") else documents.compiled(text, "session")
            )
            if policy is not None:
                yield policy

    def _holder_of(self, key: AccessKey, principal: Principal) -> Holder | None:
        """The user or role behind a key, unless it is another one that has taken the name since."""
        kind = {Kind.USER: USER, Kind.ROLE: ROLE}.get(principal.kind)
        holder = None if kind is None else self._holders.find(kind, principal.name)
        return holder if holder is not None and holder.id == key.owner_id else None


# --- words ------------------------------------------------------------------------------------------------------------


def moment(now: Millis) -> dict[str, str]:
    return {"aws:CurrentTime": _iso(now), "aws:EpochTime": str(now // 1000)}


def _iso(time: Millis) -> str:
    return f"{datetime.fromtimestamp(time // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _user_id(principal: Principal, holder: Holder | None) -> str:
    if principal.kind is Kind.ROOT or holder is None:
        return principal.account
    return holder.id if principal.kind is Kind.USER else f"{holder.id}:{principal.session}"


def _check_temporary(key: AccessKey, principal: Principal, required: Requirement) -> None:
    if key.session_token is None or principal.kind is Kind.ROLE or required.action in TEMPORARY_MAY:
        return
    if required.action.partition(":")[0] in NO_TEMPORARY:
        raise _denied(principal, required, "with credentials of GetSessionToken")


def _refuse_explicit(principal: Principal, required: Requirement, identity: Outcome, session: Outcome | None) -> None:
    if identity.effect is Effect.EXPLICIT_DENY:
        raise _denied(principal, required, "with an explicit deny in an identity-based policy")
    if session is not None and session.effect is Effect.EXPLICIT_DENY:
        raise _denied(principal, required, "with an explicit deny in a session policy")


def _denied(principal: Principal, required: Requirement, why: str) -> errors.AccessDenied:
    """IAM user guide, "Troubleshoot access denied error messages"."""
    what = f"{required.action} on resource: {required.resource}"
    return errors.AccessDenied(
        f"User: {principal.arn} is not authorized to perform: {what} {why.format(required.action)}"
    )
