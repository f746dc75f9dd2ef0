"""What is done about things: mitigation actions, the tasks that run them, and each execution.

And which things are cut off now, so that a release that a crash interrupted is still carried through.
"""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

isolations = sa.Table(
    "isolations",
    metadata,
    sa.Column("thing", sa.String(128), primary_key=True),
    sa.Column("since", Millis, nullable=False),
)

mitigation_actions = sa.Table(
    "mitigation_actions",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False),
    sa.Column("role_arn", sa.String(2048), nullable=False),
    # MitigationActionParams of the API: one member, which also tells the type.
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("modified_at", Millis, nullable=False),
)

mitigation_tasks = sa.Table(
    "mitigation_tasks",
    metadata,
    # Counts up in the order of starting; listings go by it.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(128), nullable=False, unique=True),
    sa.Column("started_by", sa.String(2048), nullable=False),
    sa.Column("request_token", sa.String(64), nullable=False),
    # As the API shows them; the actions as they were when the task was started.
    sa.Column("target", sa.JSON, nullable=False),
    sa.Column("actions", sa.JSON, nullable=False),
    sa.Column("range_start", Millis),
    sa.Column("range_end", Millis),
    sa.Column("only_active", sa.Boolean, nullable=False),
    sa.Column("include_suppressed", sa.Boolean, nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("started_at", Millis, nullable=False, index=True),
    sa.Column("ended_at", Millis),
    # The violations' numbers: what is done up to, and where the task ends.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("last", sa.Integer, nullable=False),
    sa.Column("executed", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("skipped", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)

mitigation_executions = sa.Table(
    "mitigation_executions",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("task_id", sa.ForeignKey("mitigation_tasks.id", ondelete="CASCADE"), nullable=False),
    sa.Column("violation_id", sa.String(128), nullable=False, index=True),
    sa.Column("thing", sa.String(128), nullable=False, index=True),
    sa.Column("action", sa.String(128), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("started_at", Millis, nullable=False, index=True),
    sa.Column("ended_at", Millis),
    sa.Column("error_code", sa.String(128)),
    sa.Column("message", sa.Text),
    sa.UniqueConstraint("task_id", "violation_id", "action"),
    sqlite_autoincrement=True,
)
