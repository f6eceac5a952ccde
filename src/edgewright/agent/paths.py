"""Where the agent keeps what it must not lose. Names from outside never become path segments as they are.

    accepted                          copy of the accepted manifest (mirror.py)
    site                              copy of what the site decided (consent/safekeeping.py)
    state.db                          accepted snapshot, revisions, outbox, events (store.py)
    objects/sha256/<hex>              deployment documents by digest (objects.py)
    projects/<deployment>/<hex>/<component>/   what runtimes materialise
    projects/<deployment>/<hex>/.snapshots/<component>/   its volumes, while another revision takes its place
    runtime/, owner                   what runtimes remember; the name that tells our containers from others'
    identity/current/                 svid.pem, key.pem (0600), anchors.pem, trust-bundle.json, server.json
    reserve                           room kept back for the day the disk is full (reserve.py)
    watch.lock, round.lock, courier.lock   held by the one watch, the one round, the one courier
    repository.git, git.config        our copy of the Git repository, and how to get at it (agent/courier.py)
    page.json, page.tries             the local page's password (its hash), and how often it may be tried

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import hashlib
import os

DEFAULT_STATE = "/var/lib/edgewright"
DEFAULT_CONFIG = "/etc/edgewright/agent.yaml"
RUN = "/run/edgewright"
"""Where others than the agent may come to what it has while it runs."""
DEFAULT_POLICY = "/etc/edgewright/policy.yaml"

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Paths:
    """The files below one state directory; nothing here touches the disk except `make`."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    @property
    def database(self) -> str:
        """The SQLite database."""
        return os.path.join(self.root, "state.db")

    @property
    def objects(self) -> str:
        """The directory of content-addressed documents."""
        return os.path.join(self.root, "objects", "sha256")

    @property
    def projects(self) -> str:
        """The directory below which runtimes materialise components."""
        return os.path.join(self.root, "projects")

    @property
    def runtime(self) -> str:
        """Where a runtime keeps what it has to remember."""
        return os.path.join(self.root, "runtime")

    @property
    def owner(self) -> str:
        """The file with the name our containers carry."""
        return os.path.join(self.root, "owner")

    @property
    def identities(self) -> str:
        """The directory of identities; `identity` is the one in use."""
        return os.path.join(self.root, "identity")

    @property
    def identity(self) -> str:
        """The identity in use: a link that is replaced as a whole."""
        return os.path.join(self.root, "identity", "current")

    @property
    def repository(self) -> str:
        """This device's copy of its Git repository."""
        return os.path.join(self.root, "repository.git")

    @property
    def courier_lock(self) -> str:
        """Held by the one courier at work, and by the git programs it has started."""
        return os.path.join(self.root, "courier.lock")

    @property
    def git_config(self) -> str:
        """The configuration with which `git` gets at the repository; it holds secrets."""
        return os.path.join(self.root, "git.config")

    @property
    def watch_lock(self) -> str:
        """Held by the one process that talks to the fleet manager."""
        return os.path.join(self.root, "watch.lock")

    @property
    def round_lock(self) -> str:
        """Held by the one round at work."""
        return os.path.join(self.root, "round.lock")

    @property
    def control_sockets(self) -> tuple[str, ...]:
        """Where the control socket may be: beside the state, or where others may come to it.

        A socket's path has room for some hundred bytes, so the second name is made of a hash.
        """
        name = hashlib.sha256(self.root.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return os.path.join(self.root, "control.sock"), f"{RUN}/{name}.sock"

    @property
    def site_word(self) -> str:
        """What the site and its fleet manager said, kept a second time (consent/safekeeping.py)."""
        return os.path.join(self.root, "site")

    @property
    def drop(self) -> str:
        """Where answers to approvals may be dropped as files, unless the site says elsewhere."""
        return os.path.join(self.root, "approvals")

    @property
    def page_secret(self) -> str:
        """What is kept of the local page's password."""
        return os.path.join(self.root, "page.json")

    @property
    def page_tries(self) -> str:
        """How often somebody may still try that password."""
        return os.path.join(self.root, "page.tries")

    def deployment(self, deployment_id: str) -> str:
        """Where everything of one deployment is materialised."""
        return os.path.join(self.projects, segment(deployment_id))

    def revision(self, deployment_id: str, digest: str) -> str:
        """Where one revision (`digest` of its document) is materialised."""
        return os.path.join(self.deployment(deployment_id), segment(digest.rpartition(":")[2]))

    def component(self, deployment_id: str, digest: str, name: str) -> str:
        """Where one component of one revision is materialised."""
        return os.path.join(self.revision(deployment_id, digest), segment(name))

    def snapshots(self, deployment_id: str, digest: str) -> str:
        """Where the volumes of one revision are copied to while another takes its place."""
        return os.path.join(self.revision(deployment_id, digest), ".snapshots")

    def snapshot(self, deployment_id: str, digest: str, name: str) -> str:
        """Where the volumes of one component are copied to."""
        return os.path.join(self.snapshots(deployment_id, digest), segment(name))

    def make(self) -> None:
        """Make the state directory, readable by its owner alone, if it is not there."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)


def policy_path(named: str | None) -> str:
    """Return where the site's policy is: `named`, what $EDGEWRIGHT_POLICY names, or the usual place."""
    return named or os.environ.get("EDGEWRIGHT_POLICY") or DEFAULT_POLICY


def segment(name: str) -> str:
    """Return `name` as one harmless path segment: itself when it is plain, else a name made of its hash.

    Two names never share a segment: a plain name that could be taken for a hashed one is hashed as well.
    """
    plain = 0 < len(name) <= 100 and _PLAIN.issuperset(name) and name[0] not in ".-"
    if plain and not name.startswith("hashed-"):
        return name
    return "hashed-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40]
