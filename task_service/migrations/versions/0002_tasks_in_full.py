"""All that a task is, and the indexes that lists are read by.

Only adds, and every addition has a default or may be null: a process of revision 0001 goes on reading and
adding tasks meanwhile. It waits while the indexes are built.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INDEXES = {
    "tasks_by_creation": "(created_at, id)",
    "tasks_by_due_time": "(coalesce(due_at, 'infinity'::timestamptz), id)",
    "tasks_by_priority": "(priority, id)",
    "tasks_by_status": "(status, created_at, id)",
    "tasks_by_tag": "USING gin (tags)",
    "tasks_by_word": "USING gin (to_tsvector('russian', title || ' ' || description))",
}


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    for column in (
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("status", sa.Text, nullable=False, server_default="open"),
        sa.Column(
            "priority",
            sa.SmallInteger,
            nullable=False,
            server_default="1",
            comment="0 low, 1 normal, 2 high, 3 urgent",
        ),
        sa.Column("due_at", time),
        sa.Column("tags", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("changed_at", time, comment="null in rows of revision 0001: when they were created"),
        sa.Column("completed_at", time),
    ):
        op.add_column("tasks", column)
    op.create_check_constraint("status_is_known", "tasks", "status IN ('open', 'in_progress', 'done')")
    op.create_check_constraint("priority_is_known", "tasks", "priority BETWEEN 0 AND 3")
    op.create_check_constraint(
        "completed_when_done", "tasks", "(status = 'done') = (completed_at IS NOT NULL)"
    )
    for name, what in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON tasks {what}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    for column in ("description", "status", "priority", "due_at", "tags", "changed_at", "completed_at"):
        op.drop_column("tasks", column)
