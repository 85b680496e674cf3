"""The kernel's tables in a SQL service's database, and how a service's schema comes up to date.

Imported when that is done: Alembic takes 11 MB, which nothing that runs has a use for.
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from shared.journal import StoreAway


def add_versions() -> None:
    """The second step of the kernel's tables, right after the first in a new service."""
    op.add_column(
        "inbox",
        sa.Column(
            "versions",
            sa.Text,
            nullable=False,
            server_default="{}",
            comment="JSON: what else has a new version",
        ),
    )


def create_journal() -> None:
    """The kernel's tables, for the first migration of a SQL service."""
    op.create_table(
        "inbox",
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary),
        sa.Column("outcome", sa.Text, comment="done, refused, failed; null while it is being retried"),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
        sa.Column("starts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("inbox_noted_at", "inbox", ["noted_at"], postgresql_using="brin")
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("routing_key", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("conversation", sa.Text, nullable=False),
        sa.Column("causation", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def upgrade(connection: sa.Connection, migrations: Path) -> None:
    """Alembic without its command line: the revisions are all that a service brings.

    StoreAway where a release that was here before has brought one that this release lacks.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations))
    script = ScriptDirectory.from_config(config)

    def steps(current: Sequence[str], _: object) -> object:
        if newer := {*current} - {one.revision for one in script.walk_revisions()}:
            raise StoreAway(
                f"its schema is that of a newer release, by migration {', '.join(sorted(newer))}, which this "
                "one lacks; run that release, or restore a backup of before it"
            )
        return script._upgrade_revs("head", current)  # type: ignore[arg-type]

    context = EnvironmentContext(config, script, fn=steps)
    with context:
        context.configure(connection=connection, transactional_ddl=True)
        connection.exec_driver_sql("BEGIN")
        context.run_migrations()
        connection.exec_driver_sql("COMMIT")
