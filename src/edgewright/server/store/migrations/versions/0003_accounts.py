"""Users, their sessions, and tokens for programs."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    pass
