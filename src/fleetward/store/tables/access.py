"""Who may call, and what they may do: access keys (long-lived and of sessions), users, roles and their policies."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

access_keys = sa.Table(
    "access_keys",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("principal_arn", sa.String(2048), nullable=False),
    # The unique id of the user or role behind the key; empty for the root user.
    sa.Column("owner_id", sa.String(32), nullable=False, default="", index=True),
    sa.Column("active", sa.Boolean, nullable=False, default=True),
    sa.Column("session_token", sa.Text),
    sa.Column("expires_at", Millis, index=True),
    # What narrows a session: policy documents and ARNs of managed policies; null when nothing does.
    sa.Column("session_policies", sa.JSON(none_as_null=True)),
    # The key with which a user's session was asked for: it ends with it.
    sa.Column("issued_by", sa.String(128), index=True),
    sa.Column("created_at", Millis, nullable=False),
)

# Apart from the keys, because it changes with every minute of use.
access_key_uses = sa.Table(
    "access_key_uses",
    metadata,
    sa.Column("key_id", sa.ForeignKey("access_keys.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("used_at", Millis, nullable=False),
    sa.Column("service", sa.String(64), nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("path", sa.String(512), nullable=False),
    sa.Column("created_at", Millis, nullable=False),
)

user_policies = sa.Table(
    "user_policies",
    metadata,
    sa.Column("user_name", sa.ForeignKey("users.name", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    sa.Column("policy_name", sa.String(128), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)

user_attachments = sa.Table(
    "user_attachments",
    metadata,
    sa.Column("user_name", sa.ForeignKey("users.name", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    sa.Column("policy_arn", sa.String(2048), primary_key=True, index=True),
)

roles = sa.Table(
    "roles",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("path", sa.String(512), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("trust_policy", sa.Text, nullable=False),
    sa.Column("max_session_seconds", sa.Integer, nullable=False, default=3600),
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
    sa.Column("policy_arn", sa.String(2048), primary_key=True, index=True),
)

managed_policies = sa.Table(
    "managed_policies",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("path", sa.String(512), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("default_version", sa.Integer, nullable=False),
    sa.Column("last_version", sa.Integer, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("updated_at", Millis, nullable=False),
)

managed_policy_versions = sa.Table(
    "managed_policy_versions",
    metadata,
    sa.Column("policy_name", sa.ForeignKey("managed_policies.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
)

# Console passwords: salt and scrypt.
login_profiles = sa.Table(
    "login_profiles",
    metadata,
    sa.Column("user_name", sa.ForeignKey("users.name", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("must_change", sa.Boolean, nullable=False, default=False),
    sa.Column("created_at", Millis, nullable=False),
)
