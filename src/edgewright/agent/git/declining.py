"""Reports that the Git server declines: which are held back, which may pass them, which are given up.

A server that takes no push at all (a protected branch) cannot be told from one that minds what is in a report
(a hook, a limit) by what it says. So a push that is declined is divided until one report is left; that one is
set aside, and the others go on. It is tried again by every courier, as branches get unprotected and hooks
mended, for as long as it is the newest of its name: the last state of everything is owed (spec: GR-32). What
follows it under the same name waits for a few tries, so that the order holds where the trouble was short;
once that is taken the declined one can be told in no order any more, and is given up.

Plain values alone; the courier does what is decided here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgewright.agent.git.notes import Declined
from edgewright.agent.state.outbox import Report

PATIENCE = 3
"""How often a report is declined before what follows it under its name may pass it."""
MOST_DECLINED = 12
"""How many pushes one courier lets the server decline."""
MOST_IN_VAIN = 3
"""After so many reports of which none was taken, those that have had their tries are left for now, and the
next one says whether the server takes anything at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a courier has come to.

    It pushes at most `most` reports at once; the numbers of those it set aside are `aside`. `declined` counts
    its pushes that were, `vain` the reports among them since the last one was taken.
    """

    most: int
    aside: frozenset[int] = frozenset()
    declined: int = 0
    vain: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the rest is left to the next courier."""
        return self.declined >= MOST_DECLINED or self.vain > MOST_IN_VAIN

    def after_taken(self, limit: int) -> "Turn":
        """Return how it goes on after a push was taken: with more at once again, up to `limit`."""
        return replace(self, most=min(2 * self.most, limit), vain=0)

    def after_declined(self, pushed: Sequence[Report]) -> "Turn":
        """Return how it goes on after a push of these reports was declined: fewer at once, or without it."""
        declined = self.declined + 1
        if len(pushed) > 1:
            return replace(self, most=len(pushed) // 2, declined=declined)
        aside = self.aside | {each.number for each in pushed}
        return replace(self, most=1, aside=aside, declined=declined, vain=self.vain + len(pushed))


def next_reports(waiting: Iterable[Report], turn: Turn, declined: Mapping[int, Declined]) -> list[Report]:
    """Return what to push next of what is `waiting`, in its order; nothing when all had its turn.

    `declined` maps the number of a report to what is known of it; one that was declined before goes alone.
    """
    chosen: list[Report] = []
    barred: set[str] = set()
    for each in waiting:
        known = declined.get(each.number)
        has_had_its_tries = known is not None and known.tries >= PATIENCE
        if each.number in turn.aside or (has_had_its_tries and turn.vain >= MOST_IN_VAIN):
            if not has_had_its_tries:
                barred.add(each.name)
        elif each.name in barred:
            continue
        elif known is not None:
            return chosen or [each]
        else:
            chosen.append(each)
            if len(chosen) == (1 if turn.vain >= MOST_IN_VAIN else turn.most):
                break
    return chosen


def passed_by(taken: Iterable[Report], declined: Mapping[int, Declined]) -> set[int]:
    """Return the numbers of declined reports that can be told no more, as later ones of their name were."""
    newest: dict[str, int] = {}
    for each in taken:
        newest[each.name] = max(each.number, newest.get(each.name, 0))
    return {number for number, each in declined.items() if number < newest.get(each.name, 0)}
