"""What is kept on the device and what goes: revisions to fall back to, their documents, projects and images.

Deciding is pure. Deleting is done at the end of a round, from what is remembered then: what a killed round
left lying about, the next one finds.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from edgewright.agent.paths import Paths
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.revisions import WAITING, Revision, Stage


def forgotten(siblings: Sequence[Revision], running: Revision, keep: int) -> list[Revision]:
    """Return which revisions of one deployment are not needed any more once `running` has come up whole.

    The newest `keep` other good ones stay, and what is wanted next. What never came up has no use.
    """
    others = [each for each in siblings if each.key != running.key and each.stage not in WAITING]
    by_age = sorted(others, key=lambda each: each.verified, reverse=True)
    kept = {each.key for each in by_age[:keep] if each.verified}
    return [each for each in others if each.key not in kept]


def may_need_snapshots(siblings: Iterable[Revision]) -> bool:
    """Whether volumes of one deployment may have to be put back: no revision of it runs whole."""
    return not any(each.stage is Stage.INSTALLED for each in siblings)


def drop_snapshots(paths: Paths, revisions: Sequence[Revision]) -> None:
    """Delete copies of volumes that have served, before they could be taken for the latest.

    What has been written since an update was good must never be lost to a copy from before it.
    """
    for deployment_id in {each.deployment_id for each in revisions}:
        siblings = [each for each in revisions if each.deployment_id == deployment_id]
        if not may_need_snapshots(siblings):
            for each in siblings:
                shutil.rmtree(paths.snapshots(*each.key), ignore_errors=True)


def sweep(paths: Paths, objects: Objects, listed: Iterable[str], revisions: Sequence[Revision]) -> None:
    """Delete what nothing refers to any more: documents not `listed`, projects, copies of volumes."""
    objects.keep([*listed, *(revision.digest for revision in revisions)])
    deployments = {paths.deployment(each.deployment_id) for each in revisions}
    kept = {paths.revision(*each.key) for each in revisions}
    for directory in _inside(paths.projects):
        if directory not in deployments:
            shutil.rmtree(directory, ignore_errors=True)
            continue
        for revision in _inside(directory):
            if revision not in kept:
                shutil.rmtree(revision, ignore_errors=True)
    drop_snapshots(paths, revisions)


def _inside(directory: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for name in os.listdir(directory):
            yield os.path.join(directory, name)
