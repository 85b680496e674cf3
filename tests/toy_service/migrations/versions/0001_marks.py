"""Rows without any constraint, so that an effect that happened twice shows."""

import sqlalchemy as sa
from alembic import op

from shared.journal_tables import add_versions, create_journal

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_journal()
    add_versions()
    op.create_table(
        "marks", sa.Column("text", sa.Text), sa.Column("message_id", sa.Text), sa.Column("actor", sa.Text)
    )
    op.create_table("heard", sa.Column("text", sa.Text, nullable=False))
    late = {"deferrable": True, "initially": "DEFERRED"} if op.get_bind().dialect.name == "postgresql" else {}
    op.create_table("unique_at_commit", sa.Column("text", sa.Text), sa.UniqueConstraint("text", **late))
    op.create_table("rows", sa.Column("name", sa.Text), sa.Column("locked", sa.Integer))
    op.execute("INSERT INTO rows VALUES ('a', 0), ('b', 0)")
    op.create_table("numbers", sa.Column("number", sa.Integer))
    op.execute("INSERT INTO numbers VALUES (0)")
