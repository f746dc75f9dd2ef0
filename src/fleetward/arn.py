"""Amazon resource names: made and taken apart in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arns:
    """The names of one account in one region."""

    region: str
    account: str

    def make(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def iot(self, kind: str, name: str) -> str:
        """`kind` is thing, thinggroup, cert, policy, securityprofile, client, topic, topicfilter…"""
        return self.make("iot", f"{kind}/{name}")

    def topic(self, name: str) -> str:
        return self.make("sns", name)

    def function(self, name: str) -> str:
        return self.make("lambda", f"function:{name}")

    def rule(self, name: str) -> str:
        return self.make("events", f"rule/{name}")

    def log_group(self, name: str) -> str:
        return self.make("logs", f"log-group:{name}")

    def role(self, name: str) -> str:
        return f"arn:aws:iam::{self.account}:role/{name}"

    @property
    def root(self) -> str:
        return f"arn:aws:iam::{self.account}:root"


@dataclass(frozen=True, slots=True)
class Arn:
    service: str
    region: str
    account: str
    resource: str

    @property
    def kind(self) -> str:
        """The word before the first `/` or `:` of the resource; empty for a bare name such as an SNS topic's."""
        for i, letter in enumerate(self.resource):
            if letter in "/:":
                return self.resource[:i]
        return ""

    @property
    def name(self) -> str:
        """What follows the kind; the whole resource when there is no kind."""
        return self.resource[len(self.kind) + 1 :] if self.kind else self.resource


def parse(text: str) -> Arn | None:
    """The parts of an ARN, or None when `text` is not one."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[2] or not parts[5]:
        return None
    return Arn(parts[2], parts[3], parts[4], parts[5])
