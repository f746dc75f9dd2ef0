"""The console's roles: three managed policies, of which a user has one or none."""

from __future__ import annotations

from collections.abc import Mapping

from fleetward import errors
from fleetward.console.operator import Operator

PREFIX = "arn:aws:iam::aws:policy/"
NO_ROLE = ""
ROLES: Mapping[str, str] = {
    f"{PREFIX}FleetwardViewer": "Viewer – sees everything, changes nothing",
    f"{PREFIX}FleetwardOperator": "Operator – and isolates, releases, verifies alarms, sends test messages",
    f"{PREFIX}FleetwardAdministrator": "Administrator – everything, users included",
    NO_ROLE: "No role – only what other policies allow",
}


async def role_of(operator: Operator, name: str) -> tuple[str, list[str]]:
    """The user's role, and the names of the other managed policies attached."""
    attached = await operator.all("iam", "ListAttachedUserPolicies", "AttachedPolicies", UserName=name)
    arns = [policy["PolicyArn"] for policy in attached]
    role = next((arn for arn in reversed(list(ROLES)) if arn in arns), NO_ROLE)
    return role, [arn.rsplit("/", 1)[-1] for arn in arns if arn != role]


async def give(operator: Operator, name: str, role: str) -> None:
    """Makes `role` the only one of the roles that the user has."""
    if role not in ROLES:
        raise errors.Validation("Choose a role.")
    attached = await operator.all("iam", "ListAttachedUserPolicies", "AttachedPolicies", UserName=name)
    had = {policy["PolicyArn"] for policy in attached} & set(ROLES)
    if role and role not in had:
        await operator.do("iam", "AttachUserPolicy", UserName=name, PolicyArn=role)
    for other in sorted(had - {role}):
        await operator.do("iam", "DetachUserPolicy", UserName=name, PolicyArn=other)


async def remove(operator: Operator, name: str) -> None:
    """Takes everything from the user that keeps it from being deleted, and deletes it."""
    for key in await operator.all("iam", "ListAccessKeys", "AccessKeyMetadata", UserName=name):
        await operator.do("iam", "DeleteAccessKey", UserName=name, AccessKeyId=key["AccessKeyId"])
    try:
        await operator.do("iam", "DeleteLoginProfile", UserName=name)
    except errors.NoSuchEntity:
        pass  # it could not sign in with a password
    for policy in await operator.all("iam", "ListAttachedUserPolicies", "AttachedPolicies", UserName=name):
        await operator.do("iam", "DetachUserPolicy", UserName=name, PolicyArn=policy["PolicyArn"])
    for policy in await operator.all("iam", "ListUserPolicies", "PolicyNames", UserName=name):
        await operator.do("iam", "DeleteUserPolicy", UserName=name, PolicyName=policy)
    await operator.do("iam", "DeleteUser", UserName=name)
