"""A repeated answer tells what else the command had changed. Only adds: revision 0001 goes on meanwhile."""

from alembic import op

from shared.journal_tables import add_versions

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    add_versions()


def downgrade() -> None:
    op.drop_column("inbox", "versions")
