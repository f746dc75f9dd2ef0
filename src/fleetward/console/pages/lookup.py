"""Finding by the beginning of a name, and where what is found has its page."""

from __future__ import annotations

from urllib.parse import quote

from fleetward.console.operator import Operator
from fleetward.console.parts.forms import FOUND

PLACES = {"thing": "things", "thinggroup": "groups", "cert": "certificates", "policy": "policies"}
"""Kind of an ARN's resource → the pages of its kind."""


async def groups(operator: Operator, beginning: str) -> dict[str, str]:
    return {name: name for name in (await group_arns(operator, beginning)).values()}


async def group_arns(operator: Operator, beginning: str) -> dict[str, str]:
    """ARN → name."""
    found, _ = await operator.page(
        "iot", "ListThingGroups", "thingGroups", namePrefixFilter=beginning or None, maxResults=FOUND
    )
    return {group["groupArn"]: group["groupName"] for group in found}


async def things(operator: Operator, beginning: str) -> dict[str, str]:
    found, _ = await operator.page(
        "fleetward", "ListThingsByName", "things", namePrefix=beginning or None, maxResults=FOUND
    )
    return {thing["thingName"]: thing["thingName"] for thing in found}


async def certificates(operator: Operator, beginning: str) -> dict[str, str]:
    found, _ = await operator.page(
        "fleetward", "ListCertificatesById", "certificates", idPrefix=beginning or None, maxResults=FOUND
    )
    return {certificate["certificateId"]: certificate["certificateId"] for certificate in found}


async def policies(operator: Operator, beginning: str) -> dict[str, str]:
    return {name: name for name in (await _by_name(operator, "ListPoliciesByName", beginning)).values()}


async def profiles(operator: Operator, beginning: str) -> dict[str, str]:
    return {name: name for name in (await _by_name(operator, "ListSecurityProfilesByName", beginning)).values()}


async def topic_arns(operator: Operator, beginning: str) -> dict[str, str]:
    """ARN → name."""
    return await _by_name(operator, "ListTopicsByName", beginning)


async def role_arns(operator: Operator, beginning: str) -> dict[str, str]:
    """ARN → name."""
    return await _by_name(operator, "ListRolesByName", beginning)


async def _by_name(operator: Operator, operation: str, beginning: str) -> dict[str, str]:
    found, _ = await operator.page("fleetward", operation, "named", namePrefix=beginning or None, maxResults=FOUND)
    return {one["arn"]: one["name"] for one in found}


async def policies_of(operator: Operator, target: str) -> list[str]:
    """The names of the policies that are attached to a target (ARN)."""
    attached = await operator.all("iot", "ListAttachedPolicies", "policies", target=target, pageSize=250)
    return [policy["policyName"] for policy in attached]


def href(kind: str, name: str) -> str:
    """The address of its page, for links in lists."""
    return f"/console/{PLACES[kind]}/{quote(name, safe='')}"


def target(kind: str, name: str) -> str:
    """The same for ui.link and ui.navigate, which know where the console is mounted."""
    return f"/{PLACES[kind]}/{quote(name, safe='')}"


def named(arn: str) -> tuple[str, str]:
    """An ARN's kind and name: "…:cert/ab12" → ("cert", "ab12")."""
    kind, _, name = arn.split(":", 5)[5].partition("/")
    return kind, name


def sibling(arn: str, kind: str, name: str) -> str:
    """The ARN of something else of IoT's in the same account."""
    return f"{':'.join(arn.split(':', 5)[:5])}:{kind}/{name}"
