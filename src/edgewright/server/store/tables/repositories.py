"""The Git repositories of devices: hosted here, or on a Git server of somebody else's."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, String, Table

from edgewright.server.store.tables.base import Instant, metadata

# One per device that has one. `url` is null for hosted ones: it follows from where this server listens.
# `desired_commit` is the newest commit made here, `desired_etag` and `policy_tag` what it was made of (as in
# `standings`), `signer` the fingerprint of the key that signs what comes next, `pushed_commit` where the
# branch was last seen on an external server. `current_commit` is how far the device's branch was read, and
# `adopted` what the device says there of what it took up (JSON). `checked` is when the repository was last
# known to answer, `problem` what keeps it from being written or read, `unread` what on the device's branch
# could not be taken, `refused` why a commit made by hand was not. The digests are of secrets that open a
# hosted repository, or its webhook; the credentials for an external server are in a file.
repositories = Table(
    "repositories",
    metadata,
    Column("client_id", String, ForeignKey("clients.client_id"), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("url", String),
    Column("created", Instant, nullable=False),
    Column("desired_commit", String(40)),
    Column("desired_etag", String),
    Column("policy_tag", String(16)),
    Column("signer", String),
    Column("pushed_commit", String(40)),
    Column("current_commit", String(40)),
    Column("adopted", String),
    Column("checked", Instant),
    Column("problem", String),
    Column("unread", String),
    Column("refused", String),
    Column("basic_digest", String(64)),
    Column("token_digest", String(64)),
    Column("webhook_digest", String(64)),
    CheckConstraint("kind IN ('hosted', 'external')", name="kind"),
    CheckConstraint("kind = 'hosted' OR url IS NOT NULL", name="url"),
)
