"""Kinds, places and roads; generations, placements and what waits; the kernel's inbox and outbox."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from shared.journal_tables import create_journal

revision = "0001"
down_revision = None

AMOUNT = sa.Numeric(13, 3)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    create_journal()
    create_network()
    create_waste()
    present = op.create_table(
        "present",
        sa.Column("network", sa.Uuid, nullable=False, comment="the version of kinds, places and roads"),
        sa.Column("stock", sa.Uuid, nullable=False, comment="the version of what is stored and what waits"),
        sa.Column(
            "only_row", sa.Boolean, sa.CheckConstraint("only_row"), primary_key=True, server_default="true"
        ),
    )
    op.bulk_insert(present, [{"network": uuid4(), "stock": uuid4()}])


def create_network() -> None:
    kinds = op.create_table(
        "kinds",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
    )
    op.bulk_insert(
        kinds,
        [
            {"code": "bio", "title": "биоотходы"},
            {"code": "glass", "title": "стекло"},
            {"code": "plastic", "title": "пластик"},
        ],
    )
    op.create_table(
        "places",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("is_storage", sa.Boolean, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_table(
        "capacities",
        sa.Column("storage", sa.Uuid, sa.ForeignKey("places.id"), primary_key=True),
        sa.Column("kind", sa.Text, sa.ForeignKey("kinds.code"), primary_key=True),
        sa.Column("capacity", AMOUNT, nullable=False),
        sa.Column("stored", AMOUNT, nullable=False, server_default="0"),
        sa.Column("placements", sa.BigInteger, nullable=False, server_default="0"),
        sa.CheckConstraint("0 <= stored AND stored <= capacity", name="never_over_capacity"),
        # Each placement updates a row here: room in the page keeps that away from the index.
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "roads",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
        sa.Column("origin", sa.Uuid, sa.ForeignKey("places.id"), nullable=False),
        sa.Column("destination", sa.Uuid, sa.ForeignKey("places.id"), nullable=False),
        sa.Column("metres", sa.BigInteger, sa.CheckConstraint("metres > 0"), nullable=False),
        sa.Column("two_way", sa.Boolean, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.UniqueConstraint("origin", "destination"),
        sa.CheckConstraint("origin <> destination", name="never_to_itself"),
    )


def create_waste() -> None:
    op.create_table(
        "generations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("organization", sa.Uuid, sa.ForeignKey("places.id"), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Index("generations_of_organization", "organization", "number"),
    )
    op.create_table(
        "amounts",
        sa.Column("generation", sa.Uuid, sa.ForeignKey("generations.id"), primary_key=True),
        sa.Column("kind", sa.Text, sa.ForeignKey("kinds.code"), primary_key=True),
        sa.Column("amount", AMOUNT, sa.CheckConstraint("amount > 0"), nullable=False),
    )
    op.create_table(
        "placements",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("generation", sa.Uuid, nullable=False),
        sa.Column("storage", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amount", AMOUNT, sa.CheckConstraint("amount > 0"), nullable=False),
        sa.Column("distance_metres", sa.BigInteger, nullable=False),
        sa.Column("stored_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["generation", "kind"], ["amounts.generation", "amounts.kind"]),
        sa.ForeignKeyConstraint(["storage", "kind"], ["capacities.storage", "capacities.kind"]),
        sa.Index("placements_of_generation", "generation", "kind"),
    )
    op.create_table(
        "waiting",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("generation", sa.Uuid, nullable=False),
        sa.Column("organization", sa.Uuid, sa.ForeignKey("places.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amount", AMOUNT, sa.CheckConstraint("amount > 0"), nullable=False),
        sa.ForeignKeyConstraint(["generation", "kind"], ["amounts.generation", "amounts.kind"]),
        sa.UniqueConstraint("generation", "kind"),
        sa.Index("waiting_of_organization", "organization", "kind", "number"),
    )


def downgrade() -> None:
    for table in (
        *("present", "waiting", "placements", "amounts", "generations"),
        *("roads", "capacities", "places", "kinds", "inbox", "outbox"),
    ):
        op.drop_table(table)
