"""Lists in pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from api_house import House
from fleetward import errors
from fleetward.api import models
from fleetward.api.call import Call, Caller
from fleetward.api.paging import page, page_after, page_of
from fleetward.store.tables.access import roles


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def call_of(rooms: Any, params: dict[str, Any], operation: str = "ListThings") -> Call:
    model = models.service("iot").model.operation_model(operation)
    return Call(rooms, model, params, Caller(None, "123456789012"), 0, "an-id")


@given(items=st.lists(st.integers()), size=st.integers(1, 9))
def test_pages_put_together_are_the_list(items: list[int], size: int) -> None:
    """Following the tokens yields every item once and in order, whatever the page size."""
    found: list[int] = []
    params: dict[str, Any] = {"maxResults": size}
    while True:
        part, token = page_of(call_of(None, params), items)
        found += part
        assert len(part) == size or token is None
        if token is None:
            break
        params["nextToken"] = token
    assert found == items


@pytest.mark.parametrize("ascending", [True, False])
def test_a_page_goes_on_where_the_last_one_ended_even_when_rows_come_and_go(house: House, ascending: bool) -> None:
    """Rows inserted or deleted between two pages neither repeat nor hide the others."""
    with house.rooms.database.transaction(0) as tx:
        empty = {"id": "", "path": "/", "description": "", "trust_policy": "", "created_at": 0}
        tx.execute(sa.insert(roles), [{"name": name, **empty} for name in "bdfhj"])
        statement = sa.select(roles.c.name)
        rows, token = page(call_of(house.rooms, {"pageSize": 2}), tx, statement, roles.c.name, ascending)
        first = [row["name"] for row in rows]
        tx.execute(sa.delete(roles).where(roles.c.name == first[-1]))
        tx.execute(sa.insert(roles), [{"name": name, **empty} for name in "ai"])
        params = {"pageSize": 9, "marker": token}
        rows, token = page(call_of(house.rooms, params), tx, statement, roles.c.name, ascending)
    second = [row["name"] for row in rows]
    assert (first, second, token) == (
        (["b", "d"], ["f", "h", "i", "j"], None) if ascending else (["j", "h"], ["f", "d", "b", "a"], None)
    )


def test_a_position_may_have_several_parts() -> None:
    """A list ordered by several columns goes on behind a tuple."""
    items = [(time, name) for time in (1, 2) for name in "abc"]

    def fetch(limit: int, after: tuple[int, str] | None) -> list[tuple[int, str]]:
        return [item for item in items if after is None or item > after][:limit]

    first, token = page_after(call_of(None, {"maxResults": 4}), fetch, lambda item: item)
    second, end = page_after(call_of(None, {"maxResults": 4, "nextToken": token}), fetch, lambda item: item)
    assert (first, second, end) == (items[:4], items[4:], None)


def test_a_token_that_is_not_ours_is_refused() -> None:
    """Garbage, a changed token and the token of another operation are refused, not misread."""
    _, token = page_of(call_of(None, {"maxResults": 1}), [1, 2])
    assert token
    cases = [(wrong, "ListThings") for wrong in ("x", "é", token[:-4], "")] + [(token, "ListThingGroups")]
    for wrong, operation in cases:
        with pytest.raises(errors.Validation, match=r"(?i)token"):
            page_of(call_of(None, {"nextToken": wrong}, operation), [1, 2])
