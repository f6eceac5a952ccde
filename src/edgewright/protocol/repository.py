"""A device's Git repository: what is called what in it (docs/reference/git-repository.md; seed: S-18, S-20).

Branch `desired` is written by the fleet manager, branch `current` by the device. The files hold the same
bytes as the API serves and takes, so digests are the same on either way. What is not named here is nobody's
concern and is left alone, as long as it is a plain file.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import re

DESIRED, CURRENT = "refs/heads/desired", "refs/heads/current"

MANIFEST = "manifest.json"
POLICY = "policy.yaml"
SIGNERS = "signers"
"""Who may sign the commits that follow (ssh-keygen(1), ALLOWED SIGNERS); without it: who might before."""
DEPLOYMENTS = "deployments"

CAPABILITIES = "capabilities.json"
ADOPTED = "adopted.json"
SITE = "site.json"
STATUS = "status"

NAMESPACE = "git"
"""The namespace of commit signatures (git's own), and the only one that signers may be limited to."""

MOST_ENTRIES = 10_000
MANIFEST_BYTES = 4 * 1024 * 1024
DOCUMENT_BYTES = 1024 * 1024
POLICY_BYTES = 64 * 1024
SIGNERS_BYTES = 64 * 1024
SITE_BYTES = 512 * 1024

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}|\.gitattributes|\.gitignore")


def deployment_file(deployment_id: str) -> str:
    """Return where the document of a deployment is, in `desired`."""
    return f"{DEPLOYMENTS}/{deployment_id}.yaml"


def status_file(deployment_id: str) -> str:
    """Return where the last status of a deployment is, in `current`."""
    return f"{STATUS}/{deployment_id}.json"


def is_safe_name(name: str) -> bool:
    """Whether a file or folder of either branch may have this name (one segment of a path).

    Plain ASCII without a leading dot or dash: nothing that a file system folds, a shell reads or Git itself
    uses (`.git`, `.gitmodules`) is among them.
    """
    return _SAFE.fullmatch(name) is not None and not name.endswith((".", ".lock"))
