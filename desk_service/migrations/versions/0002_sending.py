"""What is being sent is known before it is: the index of replays under way holds it, too.

A process of revision 0001 knows no `sending`: one that runs beside this one leaves such a replay alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _index("queued", "sending", "sent")
    op.alter_column("replays", "state", comment="queued, sending, sent, done, refused, failed, stopped")


def downgrade() -> None:
    op.execute("UPDATE replays SET state = 'queued' WHERE state = 'sending'")
    op.alter_column("replays", "state", comment="queued, sent, done, refused, failed, stopped")
    _index("queued", "sent")


def _index(*states: str) -> None:
    op.drop_index("replays_under_way", "replays")
    under_way = sa.text(f"state IN ({', '.join(map(repr, states))})")
    op.create_index("replays_under_way", "replays", ["state", "looked_at"], postgresql_where=under_way)
