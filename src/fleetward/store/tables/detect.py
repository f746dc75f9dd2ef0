"""Security profiles and where they are attached; violations and the events of their lives."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

security_profiles = sa.Table(
    "security_profiles",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    # Every member the API shows besides name, ARN, version and dates: {"behaviors": […], "alertTargets": {…}, …}.
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
)

security_profile_targets = sa.Table(
    "security_profile_targets",
    metadata,
    sa.Column("profile_name", sa.ForeignKey("security_profiles.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    # The thing group's name; empty for the kinds that are not a group.
    sa.Column("group_name", sa.String(128), primary_key=True),
    sa.Column("attached_at", Millis, nullable=False),
    sa.Index("ix_security_profile_targets_target", "kind", "group_name"),
)

violations = sa.Table(
    "violations",
    metadata,
    # Counts up in the order of recording; listings go by it.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(128), nullable=False, unique=True),
    sa.Column("thing", sa.String(128), nullable=False, index=True),
    sa.Column("profile", sa.String(128), nullable=False, index=True),
    # The behaviour as the API showed it when the alarm was raised.
    sa.Column("behavior", sa.JSON, nullable=False),
    sa.Column("behavior_name", sa.String(128), nullable=False),
    sa.Column("criteria_type", sa.String(16), nullable=False),
    sa.Column("suppressed", sa.Boolean, nullable=False),
    # Where the alarm went, so that its end can still be told when the profile is gone.
    sa.Column("alert_topics", sa.JSON, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("started_at", Millis, nullable=False),
    sa.Column("last_at", Millis, nullable=False),
    # A MetricValue of the API, such as {"count": 54}.
    sa.Column("last_value", sa.JSON, nullable=False),
    sa.Column("ended_at", Millis, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("explanation", sa.JSON(none_as_null=True)),
    sa.Column("verification_state", sa.String(32), nullable=False),
    sa.Column("verification_description", sa.Text),
    sa.Index("ix_violations_state", "state", "number"),
    sqlite_autoincrement=True,
)

violation_events = sa.Table(
    "violation_events",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("violation_id", sa.ForeignKey("violations.id", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("time", Millis, nullable=False, index=True),
    sa.Column("value", sa.JSON(none_as_null=True)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("explanation", sa.JSON(none_as_null=True)),
    # Why the alert could not be handed to its topic; a failed delivery to a subscriber is kept with the delivery.
    sa.Column("alert_error", sa.Text),
    sa.UniqueConstraint("violation_id", "kind"),
    sqlite_autoincrement=True,
)

custom_metrics = sa.Table(
    "custom_metrics",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    # string-list, ip-address-list, number-list or number.
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("display_name", sa.String(128), nullable=False),
    # The client's token of the request that made it: the same request again is no second one.
    sa.Column("request_token", sa.String(64), nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
)

dimensions = sa.Table(
    "dimensions",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("type", sa.String(16), nullable=False),
    # For TOPIC_FILTER, MQTT topic filters.
    sa.Column("string_values", sa.JSON, nullable=False),
    sa.Column("request_token", sa.String(64), nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
)
