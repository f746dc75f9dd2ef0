"""Who may call: access keys (long-lived and of sessions), roles and their policies."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

access_keys = sa.Table(
    "access_keys",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("principal_arn", sa.String(2048), nullable=False),
    sa.Column("session_token", sa.Text),
    sa.Column("expires_at", Millis, index=True),
    sa.Column("created_at", Millis, nullable=False),
)

roles = sa.Table(
    "roles",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("path", sa.String(512), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("trust_policy", sa.Text, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
)

role_policies = sa.Table(
    "role_policies",
    metadata,
    sa.Column("role_name", sa.ForeignKey("roles.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("policy_name", sa.String(128), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)

role_attachments = sa.Table(
    "role_attachments",
    metadata,
    sa.Column("role_name", sa.ForeignKey("roles.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("policy_arn", sa.String(2048), primary_key=True),
)
