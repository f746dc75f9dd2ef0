"""Security profiles as the kernel watches them: running behaviours with margins, retained metrics, targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.detect import profile_members, profile_store, profiles
from fleetward.detect.inputs import WatchedProfile
from fleetward.store.database import Reader
from fleetward.store.tables.detect import security_profile_targets
from fleetward.store.tables.registry import tags


def watched_profiles(look: Reader) -> tuple[WatchedProfile, ...]:
    """Every profile that is attached somewhere, by name."""
    margins = _margins(look)
    attachments = _attachments(look)
    return tuple(
        _watched(row, attachments[row["name"]], margins.get(row["name"]))
        for row in profile_store.every(look)
        if row["name"] in attachments
    )


def _watched(row: RowMapping, attached: Sequence[RowMapping], margin: str | None) -> WatchedProfile:
    document = row["document"]
    return WatchedProfile(
        name=row["name"],
        behaviors=profiles.parse(row["name"], document.get("behaviors", ()), profiles.margin_percent(margin)),
        retained=profile_members.retained_metrics(document),
        targets=tuple(profile_store.target_in(attachment) for attachment in attached),
    )


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
