"""Security profiles as the kernel watches them: running behaviours with margins, retained metrics, targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.detect import custom_metrics, dimensions, profile_members, profile_store, profiles
from fleetward.detect.inputs import WatchedProfile
from fleetward.meter.batch import Column
from fleetward.meter.metrics import BASIC, METRICS
from fleetward.model import Behavior, Demand, Dimension, ValueKind
from fleetward.store.database import Reader
from fleetward.store.tables.detect import security_profile_targets
from fleetward.store.tables.registry import tags


def watched_profiles(look: Reader) -> tuple[WatchedProfile, ...]:
    """Every profile that is attached somewhere, by name."""
    margins, attachments = _margins(look), _attachments(look)
    customs, filters = custom_metrics.value_kinds(look), dimensions.named(look)
    return tuple(
        _watched(row, attachments[row["name"]], margins.get(row["name"]), customs, filters)
        for row in profile_store.every(look)
        if row["name"] in attachments
    )


def demand(watched: Iterable[WatchedProfile], named: Mapping[str, Dimension]) -> Demand:
    """What the gateway has to count beyond the basic metrics for these profiles."""
    columns = {column for profile in watched for column in profile.retained}
    columns |= {behavior.column for profile in watched for behavior in profile.behaviors}
    filters = {column[1]: named[name].filters for column in columns if (name := _dimension_in(column[1])) in named}
    counted = {column for column in columns if column[1] in filters or column[0] not in BASIC}
    return Demand(frozenset(counted), filters)


def _watched(
    row: RowMapping,
    attached: Sequence[RowMapping],
    margin: str | None,
    customs: Mapping[str, ValueKind],
    named: Mapping[str, Dimension],
) -> WatchedProfile:
    document = row["document"]
    parsed = profiles.parse(row["name"], document.get("behaviors", ()), profiles.margin_percent(margin))
    kept = [behavior for behavior in parsed if _is_there(behavior.column, customs, named)]
    retained = profile_members.retained_columns(document)
    return WatchedProfile(
        name=row["name"],
        behaviors=tuple(with_filters(behavior, named) for behavior in kept),
        retained=frozenset(column for column in retained if _is_there(column, customs, named)),
        targets=tuple(profile_store.target_in(attachment) for attachment in attached),
        customs={metric: customs[metric] for metric, _ in retained if metric in customs},
        lost=frozenset(behavior.name for behavior in parsed if behavior not in kept),
    )


def _is_there(column: Column, customs: Mapping[str, ValueKind], named: Mapping[str, Dimension]) -> bool:
    metric, dimension = column
    return (metric in METRICS or metric in customs) and (not dimension or _dimension_in(dimension) in named)


def with_filters(behavior: Behavior, named: Mapping[str, Dimension]) -> Behavior:
    """The behaviour with the filters that its dimension has now."""
    if not behavior.dimension:
        return behavior
    return replace(behavior, filters=named[_dimension_in(behavior.dimension)].filters)


def _dimension_in(folded: str) -> str:
    """The name in "IN:name"."""
    return folded.partition(":")[2]


def _attachments(look: Reader) -> dict[str, list[RowMapping]]:
    column = security_profile_targets.c
    attached: dict[str, list[RowMapping]] = {}
    for row in look.all(sa.select(security_profile_targets).order_by(column.kind, column.group_name)):
        attached.setdefault(row["profile_name"], []).append(row)
    return attached


def _margins(look: Reader) -> Mapping[str, str]:
    """The margin tag of each profile that has one, by the profile's name."""
    rows = look.all(sa.select(tags).where(tags.c.key == profiles.MARGIN_TAG))
    named = {profile_store.profile_in(row["arn"]): row["value"] for row in rows}
    return {name: value for name, value in named.items() if name is not None}
