"""Things, groups, certificates, policies, and what is attached to what."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

things = sa.Table(
    "things",
    metadata,
    # AUTOINCREMENT: a deleted thing's integer must never name another one in packed batches.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(128), nullable=False, unique=True),
    sa.Column("type_name", sa.String(128)),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sqlite_autoincrement=True,
)

thing_groups = sa.Table(
    "thing_groups",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False),
    sa.Column("parent", sa.ForeignKey("thing_groups.name"), index=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
)

thing_group_members = sa.Table(
    "thing_group_members",
    metadata,
    sa.Column("group_name", sa.ForeignKey("thing_groups.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("thing_name", sa.ForeignKey("things.name", ondelete="CASCADE"), primary_key=True, index=True),
)

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("pem", sa.Text, nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("not_before", Millis, nullable=False),
    sa.Column("not_after", Millis, nullable=False),
    sa.Column("created_at", Millis, nullable=False, index=True),
    sa.Column("modified_at", Millis, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

thing_principals = sa.Table(
    "thing_principals",
    metadata,
    sa.Column("thing_name", sa.ForeignKey("things.name"), primary_key=True),
    sa.Column("certificate_id", sa.ForeignKey("certificates.id"), primary_key=True, index=True),
    sa.Column("exclusive", sa.Boolean, nullable=False),
)

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("default_version", sa.Integer, nullable=False),
    sa.Column("last_version", sa.Integer, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
)

policy_versions = sa.Table(
    "policy_versions",
    metadata,
    sa.Column("policy_name", sa.ForeignKey("policies.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
)

policy_attachments = sa.Table(
    "policy_attachments",
    metadata,
    sa.Column("policy_name", sa.ForeignKey("policies.name"), primary_key=True),
    sa.Column("target_kind", sa.String(16), primary_key=True),
    sa.Column("target", sa.String(128), primary_key=True),
    sa.Index("ix_policy_attachments_target", "target_kind", "target"),
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("arn", sa.String(2048), primary_key=True),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)
