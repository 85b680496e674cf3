"""Rows without any constraint, so that an effect that happened twice shows."""

import sqlalchemy as sa
from alembic import op

from shared.journal_tables import create_journal

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_journal()
    op.create_table(
        "marks", sa.Column("text", sa.Text), sa.Column("message_id", sa.Text), sa.Column("actor", sa.Text)
    )
    op.create_table("heard", sa.Column("text", sa.Text, nullable=False))
