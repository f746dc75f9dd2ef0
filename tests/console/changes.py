"""PLACES: every page, or tab of one, on which something can be changed, with the buttons that do, and what they need.

Names in braces are filled in with what a test has made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from playwright.sync_api import Page, expect
from steps import choose, pick

THING, GROUP, POLICY, PROFILE, TOPIC, FUNCTION, USER = "Pump", "Cellar", "Pumps", "Watch", "Alerts", "Act", "ursula"
EMAIL, PASSWORD = "ana@example.com", "Correct-horse-1"
FORBIDDEN = "forbidden"
"""A topic that nobody may publish to."""

Step = tuple[str, ...]
"""What is done, to what, and with what."""


def fill(page: Page, label: str, text: str) -> None:
    page.get_by_label(label, exact=True).last.fill(text)


def press(page: Page, name: str) -> None:
    """The button of the dialog that is open; by key, for a list of names may hang over it."""
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).press("Enter")


def mark(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).click()


def see(page: Page, text: str) -> None:
    expect(page.get_by_text(text)).to_be_visible()


DOING: Mapping[str, Callable[..., None]] = {
    "fill": fill,
    "pick": pick,
    "choose": choose,
    "press": press,
    "mark": mark,
    "see": see,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A button by its whole name, the action that it needs, what is done after it is pressed, and what before, while
    that is allowed."""

    button: str
    action: str
    then: Sequence[Step] = ()
    before: Sequence[Step] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Once `landmark` is shown all of the page is; `tab` is opened first."""

    path: str
    landmark: str
    changes: Sequence[Change]
    tab: str = ""

    def __str__(self) -> str:
        return f"{self.path} {self.tab}".strip()


def asked(button: str, action: str, *then: Step) -> Change:
    """A button with an ellipsis, which is answered with the same word."""
    return Change(f"{button} …", action, (*then, ("press", button)))


PLACES = (
    Place("/alarms/{alarm}", "Alarm id", (
        asked("Isolate", "fleetward:QuarantineThing"),
        Change("True positive", "iot:PutVerificationStateOnViolation"),
        Change("False positive", "iot:PutVerificationStateOnViolation"),
    )),
    Place(f"/profiles/{PROFILE}", "Version", (
        asked("Delete", "iot:DeleteSecurityProfile"),
    )),
    Place("/things", "Connection", (
        Change("Create thing", "iot:CreateThing", [("fill", "Name", "New"), ("press", "Create thing")]),
    )),
    Place(f"/things/{THING}", "What may this device do?", (
        asked("Isolate", "fleetward:QuarantineThing"),
        asked("Delete", "iot:DeleteThing"),
        Change("Add to group …", "iot:AddThingToThingGroup", [("pick", "Thing group", GROUP), ("press", "Add")]),
        Change("Attach certificate …", "iot:AttachThingPrincipal",
               [("pick", "Certificate ID", "{certificate}"), ("press", "Attach")]),
        Change("Create certificate …", "iot:CreateKeysAndCertificate"),
        Change("Detach {certificate}", "iot:DetachThingPrincipal", [("press", "Detach")]),
    )),
    Place("/groups", GROUP, (
        Change("Create thing group", "iot:CreateThingGroup",
               [("fill", "Thing group name", "New"), ("press", "Create thing group")]),
    )),
    Place(f"/groups/{GROUP}", THING, (
        asked("Delete", "iot:DeleteThingGroup"),
        Change("Add thing …", "iot:AddThingToThingGroup", [("pick", "Thing", THING), ("press", "Add")]),
        Change(f"Remove {THING}", "iot:RemoveThingFromThingGroup", [("press", "Remove")]),
    )),
    Place(f"/groups/{GROUP}", POLICY, (
        Change("Edit", "iot:DetachPolicy", [("pick", "Policies", POLICY), ("press", "Save")]),
    ), "Security"),
    Place("/certificates", "ACTIVE", (
        Change("Create certificate", "iot:CreateKeysAndCertificate"),
    )),
    Place("/certificates/{certificate}", POLICY, (
        asked("Deactivate", "iot:UpdateCertificate"),
        asked("Revoke", "iot:UpdateCertificate"),
        asked("Delete", "iot:DeleteCertificate"),
        Change("Attach thing …", "iot:AttachThingPrincipal", [("pick", "Thing", THING), ("press", "Attach")]),
        Change("Attach policy …", "iot:AttachPolicy", [("pick", "Policy", POLICY), ("press", "Attach")]),
        Change(f"Detach {THING}", "iot:DetachThingPrincipal", [("press", "Detach")]),
        Change(f"Detach {POLICY}", "iot:DetachPolicy", [("press", "Detach")]),
    )),
    Place(f"/policies/{POLICY}", "Statement", (
        asked("Delete", "iot:DeletePolicy"),
        Change("Save as new version", "iot:CreatePolicyVersion"),
    )),
    Place(f"/policies/{POLICY}", "Version 1", (
        Change("Set as default version 1", "iot:SetDefaultPolicyVersion", [("press", "Set as default")]),
        Change("Delete version 1", "iot:DeletePolicyVersion", [("press", "Delete")]),
    ), "Versions"),
    Place(f"/policies/{POLICY}", GROUP, (
        Change("Attach to thing group …", "iot:AttachPolicy", [("pick", "Thing group", GROUP), ("press", "Attach")]),
        Change(f"Detach {GROUP}", "iot:DetachPolicy", [("press", "Detach")]),
    ), "Targets"),
    Place("/topics", TOPIC, (
        Change("Create topic", "sns:CreateTopic", [("fill", "Name", "New"), ("press", "Create topic")]),
    )),
    Place(f"/topics/{TOPIC}", "Delivery log", (
        Change("Publish message", "sns:Publish", [("press", "Publish")]),
        Change("Delete topic", "sns:DeleteTopic", [("press", "Delete topic")]),
        Change("Create subscription", "sns:Subscribe",
               [("fill", "Endpoint", "eve@example.com"), ("press", "Create subscription")]),
        Change(f"Resend confirmation email {EMAIL}", "sns:Subscribe"),
    )),
    Place(f"/topics/{TOPIC}/subscriptions/{{subscription}}", "Filter policy", (
        Change("Save", "sns:SetSubscriptionAttributes"),
        Change("Unsubscribe", "sns:Unsubscribe", [("press", "Unsubscribe")]),
    )),
    Place("/functions", FUNCTION, (
        Change("Create function", "iam:CreateRole", [("fill", "Function name", "New"), ("press", "Create function")]),
    )),
    Place(f"/functions/{FUNCTION}", "Last runs", (
        Change("Add trigger", "lambda:AddPermission", [("choose", "SNS topic", TOPIC), ("press", "Add")]),
        Change(f"Remove {TOPIC}", "sns:Unsubscribe", [("press", "Remove")]),
        Change("Save", "lambda:UpdateFunctionCode"),
        Change("Manage environment variables", "lambda:UpdateFunctionConfiguration", [("press", "Save")]),
        Change("Test", "lambda:InvokeFunction"),
        Change("Delete function", "lambda:DeleteFunction", [("press", "Delete function")]),
    )),
    Place("/mqtt", "No messages yet", (
        Change("Publish", "iot:Publish", before=[
            ("fill", "Topic name", FORBIDDEN), ("see", "Your policies do not let you publish there"),
            ("fill", "Topic name", "readings"),
        ]),
    )),
    Place("/users", USER, (
        Change("Create user", "iam:CreateUser",
               [("fill", "User name", "new"), ("fill", "Console password", PASSWORD), ("press", "Create")]),
    )),
    Place(f"/users/{USER}", "{key}", (
        Change("Save role", "iam:AttachUserPolicy", before=[("mark", "Operator")]),
        Change("Set password", "iam:UpdateLoginProfile", before=[("fill", "New password", "Another-horse-2")]),
        Change("Remove password …", "iam:DeleteLoginProfile", [("press", "Remove password")]),
        Change("Create access key", "iam:CreateAccessKey"),
        Change("Deactivate", "iam:UpdateAccessKey"),
        Change("Delete …", "iam:DeleteAccessKey", [("press", "Delete access key")]),
        Change("Delete user …", "iam:DeleteAccessKey", [("press", "Delete user")]),
    )),
)  # fmt: skip

WAYS = (
    ("/profiles", "Create security profile", "iot:CreateSecurityProfile"),
    (f"/profiles/{PROFILE}", "Edit", "iot:UpdateSecurityProfile"),
    ("/policies", "Create policy", "iot:CreatePolicy"),
)
"""Pages whose button leads to another one: where it is, its name, and the action that the other page is for."""
