"""Users, roles and policies, and what every part of the stock is made with (see stock.py)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import boto3

from running_server import RunningServer

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
PASSWORD = "Correct-horse-1"
TRUST_TEXT, ALLOW_TEXT = json.dumps(TRUST), json.dumps(ALLOW)


class AccessStock:
    """Makes users, roles and their policies; each call makes another one under a name of its own."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._numbers = itertools.count(1)

    def __getattr__(self, service: str) -> Any:
        """`stock.iot` is the boto3 client of iot; an underscore stands for the dash (`iot_data`, `lambda_`)."""
        return self.server.client(service.strip("_").replace("_", "-"))

    def name(self, kind: str = "Free") -> str:
        return f"{kind}{next(self._numbers)}"

    def arn(self, resource: str, service: str = "iot") -> str:
        return f"arn:aws:{service}:{self.server.place}:{resource}"

    def role(self) -> str:
        name = self.name("Role")
        return str(self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST_TEXT)["Role"]["RoleName"])

    def role_arn(self) -> str:
        return f"arn:aws:iam::{self.server.info.account_id}:role/{self.role()}"

    def user(self) -> str:
        return str(self.iam.create_user(UserName=self.name("User"))["User"]["UserName"])

    def access_key(self) -> dict[str, str]:
        user = self.user()
        return {"UserName": user, "AccessKeyId": self.iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]}

    def person(self) -> dict[str, str]:
        """A user who can sign in to the console."""
        user = self.user()
        self.iam.create_login_profile(UserName=user, Password=PASSWORD)
        return {"UserName": user}

    def person_client(self) -> Any:
        """The iam client of a user who can sign in to the console."""
        user = self.person()["UserName"]
        self.iam.attach_user_policy(UserName=user, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        key = self.iam.create_access_key(UserName=user)["AccessKey"]
        session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=self.server.info.region)
        return session.client("iam", endpoint_url=self.server.info.endpoint_url)

    def managed_policy(self, versions: int = 1) -> str:
        made = self.iam.create_policy(PolicyName=self.name("Managed"), PolicyDocument=ALLOW_TEXT)["Policy"]["Arn"]
        for _ in range(versions - 1):
            self.iam.create_policy_version(PolicyArn=made, PolicyDocument=ALLOW_TEXT)
        return str(made)

    def inline(self, kind: str) -> dict[str, str]:
        """A role (or user) and the name of its inline policy."""
        found = {f"{kind}Name": getattr(self, kind.lower())(), "PolicyName": "inline"}
        getattr(self.iam, f"put_{kind.lower()}_policy")(**found, PolicyDocument=ALLOW_TEXT)
        return found

    def attachment(self, kind: str) -> dict[str, str]:
        """A role (or user) and the managed policy attached to it."""
        found = {f"{kind}Name": getattr(self, kind.lower())(), "PolicyArn": self.managed_policy()}
        getattr(self.iam, f"attach_{kind.lower()}_policy")(**found)
        return found
