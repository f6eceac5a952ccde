"""Which conversation an identity has: by the device API or by a Git repository.

Each loads what it needs itself: a device uses one of the two, and keeps for months what it has loaded.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import sys

from edgewright.agent.clock import SYSTEM
from edgewright.agent.paths import Paths
from edgewright.agent.resident.child import Helper
from edgewright.agent.state.store import Store
from edgewright.agent.talk.conversation import Conversation
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.manners import Manners
from edgewright.agent.talk.session import GIT, Session


def converse(session: Session, store: Store, paths: Paths) -> Conversation:
    """Return the conversation of the identity in use. Raises what `Session.identity` raises."""
    if session.identity.transport != GIT:
        from edgewright.agent.talk.link import Link  # noqa: PLC0415

        return Link(session, store)
    from edgewright.agent.git.head import RemoteHead  # noqa: PLC0415
    from edgewright.agent.talk.git_link import GitLink  # noqa: PLC0415

    return GitLink(
        session,
        store,
        couriers=Helper(_command("courier", paths)),
        looks=Helper(_command("git.looking", paths)),
        head=RemoteHead(paths.identity, Manners(store, SYSTEM, Hours(store, SYSTEM))),
    )


def _command(module: str, paths: Paths) -> list[str]:
    return [sys.executable, "-I", "-m", f"edgewright.agent.{module}", "--state", paths.root]
