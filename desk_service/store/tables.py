"""The desk's tables: letters, their deaths, the replays of them by order, and what people did.

migrations/ says what each column is for."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from shared.journal_sql import TIME

metadata = sa.MetaData()

letters = sa.Table(
    "letters",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("queue", sa.Text),
    sa.Column("message_id", sa.Text),
    sa.Column("fingerprint", sa.Text),
    sa.Column("service", sa.Text),
    sa.Column("message", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("conversation", sa.Text),
    sa.Column("type", sa.Text),
    sa.Column("app_id", sa.Text),
    sa.Column("content_type", sa.Text),
    sa.Column("sent_at", TIME),
    sa.Column("body", sa.LargeBinary),
    sa.Column("headers", JSONB),
    sa.Column("reason", sa.Text),
    sa.Column("cause", sa.Text),
    sa.Column("cause_group", sa.Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("deaths", sa.Integer),
    sa.Column("first_died_at", TIME),
    sa.Column("died_at", TIME),
    sa.Column("state", sa.Text),
    sa.Column("replay", sa.Uuid),
    sa.Column("edited_from", sa.Uuid),
    sa.Column("changed_at", TIME),
    sa.Column("changed_by", sa.Text),
)
deaths = sa.Table(
    "deaths",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("letter", sa.Uuid),
    sa.Column("died_at", TIME),
    sa.Column("by", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("errors", JSONB),
    sa.Column("traceback", sa.Text),
    sa.Column("replay", sa.Text),
)
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("who", sa.Text),
    sa.Column("ordered_at", TIME),
    sa.Column("what", JSONB),
    sa.Column("rate", sa.Float),
)
replays = sa.Table(
    "replays",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("ordered", sa.Uuid),
    sa.Column("letter", sa.Uuid),
    sa.Column("state", sa.Text),
    sa.Column("sent_at", TIME),
    sa.Column("looked_at", TIME),
    sa.Column("ended_at", TIME),
    sa.Column("note", sa.Text),
)
actions = sa.Table(
    "actions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("at", TIME),
    sa.Column("who", sa.Text),
    sa.Column("what", sa.Text),
    sa.Column("letter", sa.Uuid),
    sa.Column("ordered", sa.Uuid),
    sa.Column("details", JSONB),
)
