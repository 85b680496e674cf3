"""All that a task is, and the indexes that lists are read by.

Only adds, and every addition has a default or may be null: a process of revision 0001 goes on reading and
adding tasks meanwhile. It waits while the indexes are built. On SQLite, which is for one process, the table
is made anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INDEXES = {
    "tasks_by_creation": "(created_at, id)",
    "tasks_by_priority": "(priority, id)",
    "tasks_by_status": "(status, created_at, id)",
}
POSTGRESQL_INDEXES = {
    "tasks_by_due_time": "(coalesce(due_at, 'infinity'::timestamptz), id)",
    "tasks_by_tag": "USING gin (tags)",
    "tasks_by_word": "USING gin (to_tsvector('russian', title || ' ' || description))",
}
SQLITE_INDEXES = {"tasks_by_due_time": "(coalesce(due_at, '9999-12-31'), id)"}


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.DateTime(timezone=True)
    tags = sa.ARRAY(sa.Text).with_variant(sa.JSON(), "sqlite")
    with op.batch_alter_table("tasks") as table:
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
            sa.Column("tags", tags, nullable=False, server_default="[]" if on_sqlite else "{}"),
            sa.Column("changed_at", time, comment="null in rows of revision 0001: when they were created"),
            sa.Column("completed_at", time),
        ):
            table.add_column(column)
        table.create_check_constraint("status_is_known", "status IN ('open', 'in_progress', 'done')")
        table.create_check_constraint("priority_is_known", "priority BETWEEN 0 AND 3")
        table.create_check_constraint("completed_when_done", "(status = 'done') = (completed_at IS NOT NULL)")
    for name, what in (INDEXES | (SQLITE_INDEXES if on_sqlite else POSTGRESQL_INDEXES)).items():
        op.execute(f"CREATE INDEX {name} ON tasks {what}")


def downgrade() -> None:
    for name in INDEXES | POSTGRESQL_INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    with op.batch_alter_table("tasks") as table:
        for column in ("description", "status", "priority", "due_at", "tags", "changed_at", "completed_at"):
            table.drop_column(column)
