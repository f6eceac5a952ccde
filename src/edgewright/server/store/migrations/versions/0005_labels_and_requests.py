"""Labels that operators give to devices, and devices that ask to be let in."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("clients", sa.Column("labels", sa.String(), nullable=False, server_default="{}"))
