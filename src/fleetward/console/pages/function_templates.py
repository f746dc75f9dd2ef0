"""TEMPLATES: what a new function starts from, and the role that it needs."""

from __future__ import annotations

from dataclasses import dataclass

from fleetward.console.operator import Operator
from fleetward.simulate.provision import GROUP, WRITE_LOGS, allow, document, isolate_source, zip_of

FILE, HANDLER, RUNTIME = "lambda_function.py", "lambda_function.lambda_handler", "python3.11"
NEW_ROLE = "new"

EMPTY = """import json


def lambda_handler(event, context):
    print(json.dumps(event))
    return {"done": True}
"""


@dataclass(frozen=True, slots=True)
class Template:
    """`needs` are actions on everything that its new role allows, besides writing the log."""

    about: str
    source: str
    needs: tuple[str, ...] = ()


TEMPLATES = {
    "Empty handler": Template("Prints its event to the log.", EMPTY),
    "IsolateDevice": Template(
        "Moves the thing that an alert names to the thing group in its environment variable ThingGroupName, "
        f"which you set afterwards (such as to {GROUP}).",
        isolate_source(),
        ("iot:AddThingToThingGroup",),
    ),
}


async def create(operator: Operator, name: str, template: Template, role: str) -> None:
    """With the role of that ARN, or with a new one."""
    role_arn = await _new_role(operator, f"{name}-role", template) if role == NEW_ROLE else role
    await operator.do(
        "lambda",
        "CreateFunction",
        FunctionName=name,
        Runtime=RUNTIME,
        Role=role_arn,
        Handler=HANDLER,
        Timeout=10,
        Code={"ZipFile": zip_of({FILE: template.source})},
    )


async def _new_role(operator: Operator, name: str, template: Template) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = await operator.do("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=document(trust))
    await operator.do("iam", "AttachRolePolicy", RoleName=name, PolicyArn=WRITE_LOGS)
    if template.needs:
        allowed = document(*(allow(action, "*") for action in template.needs))
        await operator.do("iam", "PutRolePolicy", RoleName=name, PolicyName="Permissions", PolicyDocument=allowed)
    return str(made["Role"]["Arn"])
