"""Paired comparison: an item may be a triplet with two predictions, the manifest's and a rival."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the rival of an item; items of before have none."""
    op.add_column("items", sa.Column("rival_sha256", sa.String(64)))
    op.add_column("items", sa.Column("predictor", sa.Text))
    op.add_column("items", sa.Column("rival_predictor", sa.Text))
