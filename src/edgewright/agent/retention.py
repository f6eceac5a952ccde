"""What is kept on the device and what goes: revisions to fall back to, their documents, projects and images.

Deciding is pure. Deleting is done at the end of a round, from what is remembered then: what a killed round
left lying about, the next one finds.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from edgewright.agent.objects import Objects
from edgewright.agent.paths import Paths
from edgewright.agent.revisions import BEGUN, WAITING, Revision, Stage


def forgotten(siblings: Sequence[Revision], running: Revision, keep: int) -> list[Revision]:
    """Return which revisions of one deployment are not needed any more once `running` has come up whole.

    The newest `keep` other good ones stay, and what is wanted next. What never came up has no use.
    """
    others = [each for each in siblings if each.key != running.key and each.stage not in WAITING]
    by_age = sorted(others, key=lambda each: each.verified, reverse=True)
    kept = {each.key for each in by_age[:keep] if each.verified}
    return [each for each in others if each.key not in kept]


def needs_snapshots(siblings: Iterable[Revision]) -> bool:
    """Whether volumes of one deployment may have to be put back: a revision began and did not come up."""
    open_stages = BEGUN | {Stage.FAILED, Stage.ROLLING_BACK}
    return any(
        each.stage in open_stages or (each.stage is Stage.SUPERSEDED and not each.verified)
        for each in siblings
    )


def sweep(paths: Paths, objects: Objects, listed: Iterable[str], revisions: Sequence[Revision]) -> None:
    """Delete what nothing refers to any more: documents not `listed`, projects, copies of volumes."""
    objects.keep([*listed, *(revision.digest for revision in revisions)])
    deployments = {paths.deployment(each.deployment_id): each.deployment_id for each in revisions}
    for directory in _inside(paths.projects):
        if directory not in deployments:
            shutil.rmtree(directory, ignore_errors=True)
            continue
        siblings = [each for each in revisions if each.deployment_id == deployments[directory]]
        _sweep_deployment(paths, directory, siblings)


def _sweep_deployment(paths: Paths, directory: str, siblings: Sequence[Revision]) -> None:
    kept = {paths.revision(*each.key) for each in siblings}
    for revision in _inside(directory):
        if revision not in kept:
            shutil.rmtree(revision, ignore_errors=True)
    if not needs_snapshots(siblings):
        for each in siblings:
            shutil.rmtree(paths.snapshots(*each.key), ignore_errors=True)


def _inside(directory: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for name in os.listdir(directory):
            yield os.path.join(directory, name)
