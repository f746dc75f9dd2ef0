"""Functions and their code, the queue of invocations, their logs, and the schedules that call them."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

function_code = sa.Table(
    "function_code",
    metadata,
    # Content-addressed: the SHA-256 of the archive in base64, as AWS shows it (CodeSha256).
    sa.Column("sha256", sa.String(44), primary_key=True),
    sa.Column("archive", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
)

functions = sa.Table(
    "functions",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("runtime", sa.String(32), nullable=False),
    sa.Column("handler", sa.String(128), nullable=False),
    sa.Column("role", sa.String(2048), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("timeout", sa.Integer, nullable=False),
    sa.Column("memory_size", sa.Integer, nullable=False),
    sa.Column("environment", sa.JSON, nullable=False),
    sa.Column("code_sha256", sa.ForeignKey("function_code.sha256"), nullable=False, index=True),
    sa.Column("code_size", sa.BigInteger, nullable=False),
    sa.Column("revision_id", sa.String(36), nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
)

function_permissions = sa.Table(
    "function_permissions",
    metadata,
    sa.Column("function_name", sa.ForeignKey("functions.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("statement_id", sa.String(100), primary_key=True),
    sa.Column("statement", sa.JSON, nullable=False),
)

invocations = sa.Table(
    "invocations",
    metadata,
    # Arrival order; the ids callers see are random.
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("function_name", sa.String(64), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("source_id", sa.String(256), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("due_at", Millis, nullable=False),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("finished_at", Millis, index=True),
    sa.Index("ix_invocations_due", "status", "function_name", "due_at"),
    sa.Index("ix_invocations_source", "source", "source_id"),
)

log_groups = sa.Table(
    "log_groups",
    metadata,
    sa.Column("name", sa.String(512), primary_key=True),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("retention_days", sa.Integer),
)

log_streams = sa.Table(
    "log_streams",
    metadata,
    sa.Column("group_name", sa.ForeignKey("log_groups.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(512), primary_key=True),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("last_event_at", Millis, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)

log_events = sa.Table(
    "log_events",
    metadata,
    # AUTOINCREMENT: the id is the paging token of readers, so it must never be given twice.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("group_name", sa.String(512), nullable=False),
    sa.Column("stream_name", sa.String(512), nullable=False),
    sa.Column("time", Millis, nullable=False),
    sa.Column("ingested_at", Millis, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(
        ["group_name", "stream_name"], ["log_streams.group_name", "log_streams.name"], ondelete="CASCADE"
    ),
    sa.Index("ix_log_events_stream", "group_name", "stream_name", "id"),
    sqlite_autoincrement=True,
)

schedule_rules = sa.Table(
    "schedule_rules",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("expression", sa.String(256), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("role_arn", sa.String(2048)),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    # No slot that starts at or before this time is fired (again).
    sa.Column("fired_until", Millis, nullable=False),
)

schedule_targets = sa.Table(
    "schedule_targets",
    metadata,
    sa.Column("rule_name", sa.ForeignKey("schedule_rules.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("target_id", sa.String(64), primary_key=True),
    sa.Column("function_name", sa.String(64), nullable=False),
    sa.Column("input", sa.Text),
    sa.Column("last_error", sa.Text),
)
