"""The AWS door on a real socket, over a store and a certificate authority: enough for the whole registry."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from api_house import REGION, House
from fleetward.registry.authority import Authority


class RegistryHouse:
    """`iot` is a boto3 client; `skew` of `house` moves the time that operations see."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        self.house.rooms.authority = Authority.open(folder / "ca", self.house.now())
        listening = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(uvicorn.Config(self.house.door, log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        self.iot = boto3.client(
            "iot",
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{listening.getsockname()[1]}",
            aws_access_key_id=self.house.root.id,
            aws_secret_access_key=self.house.root.secret,
            config=Config(retries={"max_attempts": 1}, proxies={}),
        )

    def arn(self, kind: str, name: str) -> str:
        return self.house.rooms.arns.iot(kind, name)

    def certificate(self, **params: Any) -> str:
        """The ARN of a new certificate."""
        return str(self.iot.create_keys_and_certificate(**params)["certificateArn"])

    def close(self) -> None:
        self.iot.close()
        self._server.should_exit = True
        self._thread.join(10)
        self.house.close()


def refusal(call: Any, **params: Any) -> tuple[str, int, str]:
    """The code, status and message that a client hears."""
    try:
        answer = call(**params)
    except ClientError as error:
        told = error.response["Error"]
        return told["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"], told["Message"]
    raise AssertionError(f"not refused: {answer}")
