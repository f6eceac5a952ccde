"""Where packages come from, and what was wrong with some of them."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
