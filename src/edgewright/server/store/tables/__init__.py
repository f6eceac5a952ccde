"""The tables. A change here needs a migration beside it; a test compares the two.

Documents, manifests, bundles and reports are kept as the exact bytes that were sent or received (spec:
DG-3). Text columns holding JSON belong to this server alone.
"""

from edgewright.server.store.tables.accounts import sessions, tokens, users
from edgewright.server.store.tables.assignments import (
    assignment_revisions,
    assignments,
    rollout_events,
    rollout_steps,
    rollouts,
)
from edgewright.server.store.tables.base import Instant, Unsigned64, metadata
from edgewright.server.store.tables.catalogue import listings, package_files, packages, sources
from edgewright.server.store.tables.clients import (
    clients,
    contact_changes,
    devices,
    enrollment_requests,
    enrollments,
    site_audit,
    sites,
    suggestions,
)
from edgewright.server.store.tables.deployments import (
    bundles,
    deployment_revisions,
    deployments,
    documents,
    manifests,
    statuses,
)
from edgewright.server.store.tables.operators import audit, runs
from edgewright.server.store.tables.repositories import repositories

__all__ = [
    "Instant",
    "Unsigned64",
    "assignment_revisions",
    "assignments",
    "audit",
    "bundles",
    "clients",
    "contact_changes",
    "deployment_revisions",
    "deployments",
    "devices",
    "documents",
    "enrollment_requests",
    "enrollments",
    "listings",
    "manifests",
    "metadata",
    "package_files",
    "packages",
    "repositories",
    "rollout_events",
    "rollout_steps",
    "rollouts",
    "runs",
    "sessions",
    "site_audit",
    "sites",
    "sources",
    "statuses",
    "suggestions",
    "tokens",
    "users",
]
