"""iot: which policies bind a device, and what they amount to; told by what the gateway itself decides with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fleetward import arn, errors
from fleetward.api import names
from fleetward.api.call import Call
from fleetward.policy.document import Policy, parse
from fleetward.policy.evaluate import Effect
from fleetward.policy.request import ContextValue
from fleetward.registry import authorization as rules
from fleetward.registry import certificates, policies
from fleetward.registry.certificate_context import certificate_context
from fleetward.registry.view import thing_context
from fleetward.store.database import Reader


def get_effective_policies(call: Call) -> dict[str, Any]:
    """The policies of a certificate, of a thing's groups, or of both; the groups' only if the two belong together."""
    principal, thing_name = _principal(call), call.params.get("thingName")
    view = call.rooms.view
    thing = None
    if thing_name is not None:
        thing = view.thing(thing_name)
        if thing is None:
            raise errors.ResourceNotFound(f"Thing {thing_name} not found.")
    if principal is None and thing is None:
        raise errors.InvalidRequest("Either principal or thingName must be given")
    with call.read() as look:
        if principal is not None:
            policies.find_target(look, call.params["principal"])
        found = _effective(call, principal, thing_name)
        documents = policies.documents(look, found)
    shown = [{**_reference(call, name), "policyDocument": documents[name]} for name in found if name in documents]
    return {"effectivePolicies": shown}


def _effective(call: Call, principal: arn.Arn | None, thing_name: str | None) -> list[str]:
    view = call.rooms.view
    if principal is not None and principal.kind == "thinggroup":
        owners = view.ancestry([principal.name])
        return sorted({name for owner in owners if (group := view.group(owner)) for name in group.policies})
    certificate_id = principal.name if principal is not None else None
    thing = view.thing(thing_name) if thing_name is not None else None
    if certificate_id is not None and thing_name is not None:
        thing = view.association(certificate_id, thing_name)
    return sorted(policy.name for policy in view.policies_of(certificate_id, thing))


def test_authorization(call: Call) -> dict[str, Any]:
    """What a device with this certificate and client id may do; policies can be added or left out to try them."""
    principal, client_id = _principal(call, "cert"), call.params.get("clientId", "")
    added = call.params.get("policyNamesToAdd", [])
    if principal is None and not added:
        raise errors.InvalidRequest("Either principal or policyNamesToAdd must be given")
    certificate_id = principal.name if principal is not None else None
    with call.read() as look:
        context = context_of(call, look, certificate_id, client_id)
        binding = binding_of(call, look, certificate_id, client_id, added, call.params.get("policyNamesToSkip", []))
    results = [_result(call, asked, binding, context) for asked in call.params["authInfos"]]
    return {"authResults": results}


def context_of(call: Call, look: Reader, certificate_id: str | None, client_id: str) -> dict[str, ContextValue]:
    """The keys of the connection that is imagined; it comes from no address."""
    context: dict[str, ContextValue] = {"iot:ConnectAttributes": ()}
    thing = None
    if certificate_id is not None:
        pem = certificates.get(look, certificate_id)["pem"]
        der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
        context |= certificate_context(der)
        thing = call.rooms.view.association(certificate_id, client_id)
    known = thing_context(thing, client_id)
    return {**context, **{key: value for key, value in known.items() if client_id or key != "iot:ClientId"}}


def binding_of(
    call: Call,
    look: Reader,
    certificate_id: str | None,
    client_id: str,
    added: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> list[Policy]:
    """The policies of a connection with this certificate and client id, some added and some left out."""
    view = call.rooms.view
    thing = view.association(certificate_id, client_id) if certificate_id is not None else None
    found = {policy.name: policy for policy in view.policies_of(certificate_id, thing)}
    for name in added:
        found[name] = parse(policies.version(look, name)["document"], name)
    for name in skipped:
        policies.get(look, name)
    return [policy for name, policy in found.items() if name not in skipped]


def _result(
    call: Call, asked: dict[str, Any], binding: Sequence[Policy], context: dict[str, ContextValue]
) -> dict[str, Any]:
    action, resources = asked.get("actionType"), asked["resources"]
    if action is None or not resources:
        raise errors.InvalidRequest("authInfos needs an actionType and at least one resource in each of its elements")
    if no_arn := next((text for text in resources if arn.parse(text) is None), None):
        raise errors.InvalidRequest(f"{no_arn} is not an ARN")
    judged = rules.judge(binding, action, resources, context, call.now)
    policies_by = {
        effect: {"policies": [_reference(call, name) for name in judged.by_effect[effect]]} for effect in Effect
    }
    return {
        "authInfo": asked,
        "allowed": policies_by[Effect.ALLOWED],
        "denied": {
            "implicitDeny": policies_by[Effect.IMPLICIT_DENY],
            "explicitDeny": policies_by[Effect.EXPLICIT_DENY],
        },
        "authDecision": judged.decision.value,
        "missingContextValues": list(judged.missing),
    }


def _principal(call: Call, *kinds: str) -> arn.Arn | None:
    if "cognitoIdentityPoolId" in call.params:
        raise errors.NotImplementedHere("Fleetward has no Cognito identities: cognitoIdentityPoolId cannot be given.")
    text = call.params.get("principal")
    return names.resource(call, text, *(kinds or ("cert", "thinggroup"))) if text is not None else None


def _reference(call: Call, name: str) -> dict[str, str]:
    return {"policyName": name, "policyArn": call.rooms.arns.iot("policy", name)}
