"""What waits for the house's loop: fair to every owner, one after the other, and carried out before a stop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from fleetward.gateway.handover import HandOver, TakingTurns


@given(st.lists(st.one_of(st.sampled_from("abc"), st.none()), max_size=60))
def test_owners_take_turns(steps: list[str | None]) -> None:
    """Each owner's items come in their order, and between two of one owner every other that waits has had one."""
    turns: TakingTurns[tuple[str, int]] = TakingTurns()
    expected: list[deque[tuple[str, int]]] = []  # one queue an owner, next in turn first
    for number, owner in enumerate(steps):
        if owner is None:
            wanted = None
            if expected:
                queue = expected.pop(0)
                wanted = queue.popleft()
                if queue:
                    expected.append(queue)
            assert turns.take() == wanted
            continue
        turns.put(owner, (owner, number))
        mine = next((queue for queue in expected if queue[0][0] == owner), None)
        if mine is None:
            expected.append(deque([(owner, number)]))
        else:
            mine.append((owner, number))
        assert turns.waiting(owner) == sum(len(queue) for queue in expected if queue[0][0] == owner)
    assert bool(turns) == bool(expected)


async def test_what_another_thread_puts_is_carried_out_in_order() -> None:
    """Items come to the loop in their order, and a stop waits for those that were there."""
    waiting: deque[int] = deque()
    done: list[int] = []

    async def carry_out(item: int) -> None:
        await asyncio.sleep(0)
        done.append(item)

    def put() -> None:
        for number in range(200):
            waiting.append(number)
            room.wake()

    room: HandOver[int] = HandOver(lambda: waiting.popleft() if waiting else None, carry_out)
    room.wake()  # nothing is open yet
    assert not room.is_open
    await room.start()
    thread = threading.Thread(target=put)
    thread.start()
    await asyncio.to_thread(thread.join)
    await room.stop()
    assert done == list(range(200))
    assert not room.is_open
    room.wake()
    await room.stop()
