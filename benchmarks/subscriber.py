"""An HTTP endpoint that alerts are sent to: it confirms its subscription, and notes when each message arrived."""

from __future__ import annotations

import http.server
import json
import threading
import time
from typing import Any

import httpx

WAIT_SECONDS = 300


class Subscriber(http.server.ThreadingHTTPServer):
    """Takes messages at /http from a topic and at /function from a function; `last` is when each way's last came."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.forget()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def forget(self) -> None:
        self.arrived: dict[str, set[str]] = {"http": set(), "function": set()}
        self.last: dict[str, float] = {}

    def take(self, way: str, message: str) -> None:
        self.arrived[way].add(message)
        self.last[way] = time.perf_counter()

    def wait_for(self, messages: int) -> None:
        """Until that many have arrived by either way."""
        began = time.monotonic()
        while any(len(arrived) < messages for arrived in self.arrived.values()):
            if time.monotonic() - began > WAIT_SECONDS:
                raise RuntimeError(f"not drained: { {way: len(ids) for way, ids in self.arrived.items()} }")
            time.sleep(0.02)


class _Take(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers.get("x-amz-sns-message-type") == "SubscriptionConfirmation":
            threading.Thread(target=httpx.get, args=(json.loads(body)["SubscribeURL"],)).start()
        else:
            server: Any = self.server
            server.take(self.path[1:], self.headers.get("x-amz-sns-message-id", body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...
