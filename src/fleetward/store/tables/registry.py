"""Things, groups, certificates, policies, and what is attached to what."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

thing_types = sa.Table(
    "thing_types",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("searchable_attributes", sa.JSON, nullable=False),
    sa.Column("mqtt5_configuration", sa.JSON(none_as_null=True)),
    sa.Column("deprecated_at", Millis),
    sa.Column("created_at", Millis, nullable=False),
)

things = sa.Table(
    "things",
    metadata,
    # AUTOINCREMENT: a deleted thing's integer must never name another one in packed batches.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(128), nullable=False, unique=True),
    sa.Column("type_name", sa.ForeignKey("thing_types.name")),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Index("ix_things_type_name", "type_name", "name"),
    sqlite_autoincrement=True,
)

# What ListThings can search by: a copy, in the order in which it is looked for.
thing_attributes = sa.Table(
    "thing_attributes",
    metadata,
    sa.Column("attribute", sa.String(128), primary_key=True),
    sa.Column("value", sa.String(800), primary_key=True),
    sa.Column("thing_name", sa.ForeignKey("things.name", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

thing_groups = sa.Table(
    "thing_groups",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False),
    sa.Column("parent", sa.ForeignKey("thing_groups.name")),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Index("ix_thing_groups_parent", "parent", "name"),
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
    # The registered CA that signed it; none for our own CA's, and for those registered without one.
    sa.Column("ca_id", sa.String(64)),
    sa.Column("mode", sa.String(16), nullable=False),
    # No authority vouches for it, so the gateway must trust it by itself.
    sa.Column("stands_alone", sa.Boolean, nullable=False),
    sa.Column("not_before", Millis, nullable=False),
    sa.Column("not_after", Millis, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("ix_certificates_created", "created_at", "id"),
    sa.Index("ix_certificates_ca", "ca_id", "created_at", "id"),
)

ca_certificates = sa.Table(
    "ca_certificates",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("pem", sa.Text, nullable=False),
    # SHA-256 of the subject's DER form: what a certificate signed by it names as its issuer.
    sa.Column("subject_hash", sa.String(64), nullable=False, index=True),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("not_before", Millis, nullable=False),
    sa.Column("not_after", Millis, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("ix_ca_certificates_created", "created_at", "id"),
)

thing_principals = sa.Table(
    "thing_principals",
    metadata,
    sa.Column("thing_name", sa.ForeignKey("things.name"), primary_key=True),
    sa.Column("certificate_id", sa.ForeignKey("certificates.id"), primary_key=True),
    sa.Column("exclusive", sa.Boolean, nullable=False),
    sa.Index("ix_thing_principals_certificate", "certificate_id", "thing_name"),
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

# One row a subject: "registration code", "logging options"…
account_settings = sa.Table(
    "account_settings",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
)
