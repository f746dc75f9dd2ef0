"""The door of an `api_house.House` on a real socket, and boto3 clients for it."""

from __future__ import annotations

import socket
import threading
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from api_house import House
from fleetward.access.keys import AccessKey
from fleetward.api import models


class Server:
    """The door behind uvicorn on a free port."""

    def __init__(self, house: House) -> None:
        self.house = house
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(house.door, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()

    def client(self, service: str, key: AccessKey | None = None, region: str = "us-east-1") -> Any:
        session = boto3.Session()
        loader = session._session.get_component("data_loader")
        loader.search_paths.append(str(models.FOLDER))
        key = key or self.house.root
        return session.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=key.id,
            aws_secret_access_key=key.secret,
            aws_session_token=key.session_token,
            config=Config(retries={"max_attempts": 1}, proxies={}),
        )

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


def refused(call: Any, **params: Any) -> tuple[str, int]:
    """The code and status that a client hears."""
    with pytest.raises(ClientError) as found:
        call(**params)
    response = found.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
