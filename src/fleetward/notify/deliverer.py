"""Which deliveries are attempted when: wakes after commits and on timers, and never lets one endpoint delay another.

Bounded twice: attempts of one protocol, and attempts of one subscription. What is under way is known in memory only,
so a crash loses nothing: whatever was not written down as ended is due when the service is back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from fleetward.gateway.doors import Clock
from fleetward.notify import deliveries
from fleetward.notify.channels import CHANNELS
from fleetward.notify.records import Delivery
from fleetward.store.database import Database, Touch

log = structlog.get_logger()

PER_SUBSCRIPTION = 4
BATCH = 64
LONGEST_SLEEP = 60.0
COOL_DOWN = 2.0
"""Seconds for which a delivery rests whose outcome could not be written down."""
GRACE = 3.0
"""Seconds that attempts under way are given at the end."""

Gather = Callable[[Delivery, Collection[int]], Sequence[Delivery]]
"""(a delivery that is due, what is under way) → what to attempt as one, itself included."""

Attempt = Callable[[Sequence[Delivery]], Awaitable[None]]


class Deliverer:
    """Runs on the event loop that `start` is called on."""

    def __init__(self, database: Database, clock: Clock, gather: Gather, attempt: Attempt) -> None:
        self._database = database
        self._clock = clock
        self._gather = gather
        self._attempt = attempt
        self._under_way: dict[int, Sequence[Delivery]] = {}  # what is attempted as one, by its first
        self._ids_under_way: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: asyncio.Task[None] | None = None
        database.on_commit(self._committed)

    @property
    def under_way(self) -> int:
        return len(self._ids_under_way)

    def start(self) -> None:
        if self._runner is not None:
            raise RuntimeError("the deliverer runs already")
        self._loop = asyncio.get_running_loop()
        self._runner = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Starts nothing more, waits a moment for what is under way, and leaves the rest due for the next start."""
        if self._runner is None:
            return
        self._runner.cancel()
        await asyncio.gather(self._runner, return_exceptions=True)
        self._runner = self._loop = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self) -> None:
        """Looks for due deliveries now; from any thread."""
        if (loop := self._loop) is not None:
            try:
                loop.call_soon_threadsafe(self._woken.set)
            except RuntimeError:  # the loop has just been closed
                pass

    def _committed(self, touched: Sequence[Touch]) -> None:
        if any(kind == "delivery" for kind, _ in touched):
            self.wake()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                self._begin_due()
                sleep = self._time_to_next()
            except Exception:
                log.exception("deliverer_failed")
                sleep = COOL_DOWN
            try:
                async with asyncio.timeout(sleep):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _begin_due(self) -> None:
        """Begins whatever is due and has room; ends because every row found either begins or fills its room."""
        while found := self._due():
            for delivery in found:
                if delivery.id not in self._ids_under_way and self._has_room(delivery):
                    self._begin(self._gather(delivery, self._ids_under_way))

    def _due(self) -> list[Delivery]:
        subscriptions = Counter(together[0].subscription_id for together in self._under_way.values())
        protocols = Counter(together[0].protocol for together in self._under_way.values())
        with self._database.read() as look:
            return deliveries.due(
                look,
                self._clock(),
                BATCH,
                PER_SUBSCRIPTION,
                under_way=self._ids_under_way,
                busy_subscriptions=[each for each, count in subscriptions.items() if count >= PER_SUBSCRIPTION],
                busy_protocols=[each for each, count in protocols.items() if count >= CHANNELS[each].concurrency],
            )

    def _has_room(self, delivery: Delivery) -> bool:
        others = [together[0] for together in self._under_way.values()]
        of_subscription = sum(one.subscription_id == delivery.subscription_id for one in others)
        of_protocol = sum(one.protocol == delivery.protocol for one in others)
        return of_subscription < PER_SUBSCRIPTION and of_protocol < CHANNELS[delivery.protocol].concurrency

    def _time_to_next(self) -> float:
        """Seconds until the next delivery falls due; one that waits for room is woken for when room is made."""
        now = self._clock()
        with self._database.read() as look:
            next_due = deliveries.next_due(look, now)
        return LONGEST_SLEEP if next_due is None else min(LONGEST_SLEEP, (next_due - now) / 1000)

    # --- attempts -----------------------------------------------------------------------------------------------------

    def _begin(self, together: Sequence[Delivery]) -> None:
        self._under_way[together[0].id] = together
        self._ids_under_way.update(one.id for one in together)
        task = asyncio.create_task(self._make(together))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, together: Sequence[Delivery]) -> None:
        try:
            await self._attempt(together)
        except Exception:
            log.exception("delivery_not_recorded", delivery=together[0].id)
            await asyncio.sleep(COOL_DOWN)
        finally:
            del self._under_way[together[0].id]
            self._ids_under_way.difference_update(one.id for one in together)
            self._woken.set()
