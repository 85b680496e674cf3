"""Letters, deaths, orders, replays and actions, beside the kernel's inbox and outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.journal_tables import add_versions, create_journal

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def column(name: str, kind: object, null: bool = False, **options: object) -> sa.Column:
    return sa.Column(name, kind, nullable=null, **options)


def upgrade() -> None:
    create_journal()
    add_versions()
    op.create_table(
        "letters",
        sa.Column("id", sa.Uuid, primary_key=True),
        *(column(name, sa.Text) for name in ("queue", "message_id", "fingerprint", "service", "message")),
        column("actor", sa.Text),
        *(column(name, sa.Text, null=True) for name in ("conversation", "type", "app_id", "content_type")),
        column("sent_at", TIME, null=True),
        column("body", sa.LargeBinary),
        column("headers", JSONB),
        *(column(name, sa.Text) for name in ("reason", "cause", "cause_group")),
        column("attempts", sa.Integer),
        column("deaths", sa.Integer),
        column("first_died_at", TIME),
        column("died_at", TIME),
        column("state", sa.Text, comment="open, pending, done, refused, discarded, edited"),
        column("replay", sa.Uuid, null=True, comment="the one that is on its way, or the last"),
        column("edited_from", sa.Uuid, null=True),
        column("changed_at", TIME),
        column("changed_by", sa.Text),
    )
    op.create_index("letters_identity", "letters", ["queue", "message_id", "fingerprint"], unique=True)
    op.create_index("letters_group", "letters", ["state", "cause_group"])
    op.create_index("letters_conversation", "letters", ["conversation"])
    op.create_index("letters_edited_from", "letters", ["edited_from"])
    op.create_table(
        "deaths",
        sa.Column("id", sa.Uuid, primary_key=True),
        column("letter", sa.Uuid),
        column("died_at", TIME),
        column("by", sa.Text, comment="service, broker or unknown"),
        column("reason", sa.Text),
        column("attempts", sa.Integer),
        column("errors", JSONB),
        column("traceback", sa.Text),
        column("replay", sa.Text, null=True),
    )
    op.create_index("deaths_letter", "deaths", ["letter"])
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, primary_key=True),
        column("who", sa.Text),
        column("ordered_at", TIME),
        column("what", JSONB),
        column("rate", sa.Float, comment="messages a second, at most"),
    )
    op.create_table(
        "replays",
        sa.Column("id", sa.Uuid, primary_key=True),
        column("ordered", sa.Uuid, comment="the order that it is part of"),
        column("letter", sa.Uuid),
        column("state", sa.Text, comment="queued, sent, done, refused, failed, stopped"),
        column("sent_at", TIME, null=True),
        column("looked_at", TIME, null=True, comment="when its owner was asked last"),
        column("ended_at", TIME, null=True),
        column("note", sa.Text, server_default=""),
    )
    op.create_index("replays_letter", "replays", ["letter"])
    op.create_index("replays_ordered", "replays", ["ordered"])
    under_way = sa.text("state IN ('queued', 'sent')")
    op.create_index("replays_under_way", "replays", ["state", "looked_at"], postgresql_where=under_way)
    op.create_table(
        "actions",
        sa.Column("id", sa.Uuid, primary_key=True),
        column("at", TIME),
        column("who", sa.Text),
        column("what", sa.Text, comment="replayed, stopped, edited, discarded"),
        column("letter", sa.Uuid, null=True),
        column("ordered", sa.Uuid, null=True),
        column("details", JSONB),
    )
    op.create_index("actions_letter", "actions", ["letter"])
