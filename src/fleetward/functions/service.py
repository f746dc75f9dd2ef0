"""The Lambda room as the rest of the house sees it: call a function now, or leave an event for it to be called with."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from fleetward.arn import Arns
from fleetward.errors import Refusal, RequestTooLarge
from fleetward.functions import catalog, names, permissions, queue, sandbox
from fleetward.functions.dispatcher import RETRY_DELAYS, Dispatcher
from fleetward.functions.logs import Logs
from fleetward.functions.pool import Pool
from fleetward.functions.records import (
    MAX_SYNC_PAYLOAD,
    Clock,
    Function,
    InvocationResult,
    Keys,
)
from fleetward.functions.scheduler import Scheduler
from fleetward.functions.worker import Spec
from fleetward.model import Millis
from fleetward.settings import Settings
from fleetward.store.database import Database, Reader, Touch, Transaction

IssueKeys: TypeAlias = Callable[[str, str], tuple[str, str, str, Millis]]
"""(role ARN, session name) → (access key id, secret, session token, expiry)"""


class Functions:
    """Use on the house loop: `await start()`, … `await stop()`.

    Functions are made, changed and deleted in the store (catalog.py); the commit's touch brings it here.
    `endpoint_url` is asked at each start of a process, when the server's port is known.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        arns: Arns,
        *,
        endpoint_url: Callable[[], str],
        issue_keys: IssueKeys,
        ca_bundle: Path | None = None,
        retry_delays: Sequence[Millis] = RETRY_DELAYS,
    ) -> None:
        self._database, self._settings, self._clock, self._arns = database, settings, clock, arns
        self._endpoint_url, self._issue_keys, self._ca_bundle = endpoint_url, issue_keys, ca_bundle
        self._retry_delays = retry_delays
        self.logs = Logs(database, clock)
        self._sandbox: sandbox.Sandbox | None = None
        self._running = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sandbox = await sandbox.choose(self._settings.function_user, self._settings.data_dir)
        concurrency = self._settings.function_concurrency
        self._pool = Pool(self._spec, self._sandbox, self.logs, self._clock, concurrency)
        self._dispatcher = Dispatcher(self._database, self._clock, self._invoke_queued, self._retry_delays)
        self._scheduler = Scheduler(self._database, self._clock, self._arns)
        self._running = True
        self._database.on_commit(self._hear)

    async def stop(self) -> None:
        """Nothing of a function survives; what was running from the queue is run again after the next start."""
        if self._running:
            self._running = False
            await self._scheduler.stop()
            await self._dispatcher.stop()
            await self._pool.stop()
            self.logs.flush()
            if self._sandbox is not None:
                self._sandbox.space.close()

    def isolation(self) -> str:
        """One sentence on who functions run as."""
        return self._sandbox.describe() if self._sandbox is not None else "Functions have not been started."

    async def invoke(
        self, name: str, payload: bytes, *, client_context: str = "", request_id: str = ""
    ) -> InvocationResult:
        """Calls the function and waits; what goes wrong inside it is a result.

        Raises ResourceNotFound, RequestTooLarge or TooManyRequests.
        """
        if len(payload) > MAX_SYNC_PAYLOAD:
            raise RequestTooLarge(
                f"Request must be smaller than {MAX_SYNC_PAYLOAD} bytes for the InvokeFunction operation"
            )
        request_id = request_id or str(uuid.uuid4())
        answer, tail = await self._pool.invoke(name, request_id, payload or b"{}", client_context)
        return InvocationResult(200, answer.payload, "Unhandled" if answer.error_type else None, tail, request_id)

    def enqueue(
        self,
        tx: Transaction,
        name: str,
        payload: bytes,
        source: str,
        source_id: str,
        max_attempts: int = queue.MAX_ATTEMPTS,
    ) -> str:
        """Has the function called after the commit of `tx`, at least once, whatever crashes; returns an id."""
        return queue.enqueue(tx, name, payload, source, source_id, max_attempts)

    def exists(self, look: Reader, function_arn: str) -> bool:
        name = self._name(function_arn)
        return name is not None and catalog.find(look, name) is not None

    def may_invoke(self, look: Reader, function_arn: str, topic_arn: str) -> bool:
        """Whether the function's policy lets sns.amazonaws.com call it for that topic."""
        name = self._name(function_arn)
        account = self._arns.account
        return name is not None and permissions.may_invoke(look, name, "sns.amazonaws.com", topic_arn, account)

    # --- inside ---

    def _name(self, function_arn: str) -> str | None:
        try:
            return names.resolve(self._arns, function_arn)
        except Refusal:
            return None

    async def _invoke_queued(self, name: str, request_id: str, payload: bytes) -> InvocationResult:
        return await self.invoke(name, payload, request_id=request_id)

    def _spec(self, name: str) -> Spec:
        with self._database.read() as look:
            function = catalog.get(look, name)
            archive = catalog.archive(look, function)
        keys = Keys(*self._issue_keys(function.role, name))
        ca_bundle = self._ca_bundle.read_bytes() if self._ca_bundle is not None else None
        environment = self._environment(function, keys)
        return Spec(function, self._arns.function(name), archive, environment, keys.expires_at, ca_bundle)

    def _environment(self, function: Function, keys: Keys) -> Mapping[str, str]:
        """AWS's variables around the function's own.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        """
        return {
            "AWS_ENDPOINT_URL": self._endpoint_url(),
            **(function.environment or {}),
            "_HANDLER": function.handler,
            "AWS_REGION": self._arns.region,
            "AWS_DEFAULT_REGION": self._arns.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_ACCESS_KEY_ID": keys.id,
            "AWS_SECRET_ACCESS_KEY": keys.secret,
            "AWS_SESSION_TOKEN": keys.token,
        }

    def _hear(self, touched: Sequence[Touch]) -> None:
        """Called on whatever thread committed."""
        mine = [touch for touch in touched if touch[0] in ("function", "invocation", "schedule")]
        if mine and self._running:
            self._loop.call_soon_threadsafe(self._react, mine)

    def _react(self, touched: Sequence[Touch]) -> None:
        if not self._running:
            return
        kinds = {kind for kind, _ in touched}
        if "invocation" in kinds:
            self._dispatcher.wake()
        if "schedule" in kinds:
            self._scheduler.wake()
        for kind, name in touched:
            if kind == "function":
                self._refresh(name)

    def _refresh(self, name: str) -> None:
        with self._database.read() as look:
            exists = catalog.find(look, name) is not None
        if exists:
            self._pool.refresh(name)
        else:
            self._pool.forget(name)
