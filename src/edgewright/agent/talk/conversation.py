"""What every conversation with the fleet manager keeps, whichever transport carries it.

With whom it is and when it began anew; the site's hours and what the other side asked for (`hours.py`,
`manners.py`); when the next poll and the next report may go out; and what is said of an answer and of its
absence. How it is carried is in `link.py` (the device API) and `git_link.py` (a Git repository). Used by the
watch for as long as it lives and by `sync` for one turn.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
from abc import ABC, abstractmethod

from edgewright.agent import log
from edgewright.agent.backoff import jitter, spread
from edgewright.agent.clock import Clock, raise_latest
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.store import Store
from edgewright.agent.talk.channel import Channel
from edgewright.agent.talk.contact import Contact
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.manners import Manners
from edgewright.agent.talk.repeats import Repeats
from edgewright.agent.talk.session import API, Session
from edgewright.protocol.errors import EdgewrightError

LAST_CONTACT = "contact.last"
LAST_PROBLEM = "contact.problem"
RELATION, TRANSPORT = "reports.relation", "reports.transport"
"""The meta names of whom was reported to last, and which way."""
SUGGESTED, SUGGESTED_TAG = "policy.suggested", "policy.suggested.etag"
OURS = "server.edgewright"
"""The meta name of whether this fleet manager knows what the specification does not: `/edgewright/v1/`."""
_CONTACT_NOTED_EVERY_SECONDS = 3600.0  # an idle device hardly writes to its flash


class Conversation(ABC):
    """Identity, store and outbox joined to a conversation.

    `introduced` says whether anything but the capabilities may be said in it yet (spec: CAP-2, ON-4).
    """

    __slots__ = (
        "_asked",
        "_clock",
        "_contact",
        "_manners",
        "_noted",
        "_rate",
        "_relation",
        "_repeats",
        "_session",
        "_store",
        "hours",
        "introduced",
        "outbox",
        "polls",
        "posts",
    )
    transport: str

    def __init__(self, session: Session, store: Store, clock: Clock) -> None:
        self._session = session
        self._store = store
        self._clock = clock
        self.outbox = Outbox(store)
        self.hours = Hours(store, clock, late=jitter())
        self._manners = Manners(store, clock, self.hours)
        self._contact = Contact(os.path.dirname(store.path))
        self.polls = Channel(clock)
        self.posts = Channel(clock)
        self._repeats = Repeats(clock)
        self._rate = 0.0
        self._asked = False
        self.introduced = False
        self._relation = ""
        self._noted = float("-inf")

    @abstractmethod
    def due(self) -> float:
        """Return when (monotonic) something is to be done next; infinite where something has to happen."""

    @property
    @abstractmethod
    def fd(self) -> int:
        """What becomes readable when something arrives that is waited for; -1 while nothing is."""

    @abstractmethod
    def hear(self) -> bool:
        """Take in what arrived at `fd`; return whether it is news for a round."""

    @abstractmethod
    def ask(self) -> None:
        """Poll and post at once, whatever the rate and the hours, if there may be contact: a person asked."""

    @abstractmethod
    def post(self) -> bool:
        """Send the next report if one is due; return whether one was taken out of the outbox."""

    @abstractmethod
    def poll(self, rate: float) -> bool:
        """Ask for the desired state if it is time, every `rate` seconds; return whether there is news."""

    @abstractmethod
    def fetch_policy(self) -> bool:
        """Fetch the policy the fleet manager suggests if it is another one; return whether it is."""

    @abstractmethod
    def resume(self) -> bool:
        """Go on with the conversation of an earlier process; return whether there was one to go on with."""

    @abstractmethod
    def end(self) -> None:
        """Let go of whatever is at work for it."""

    @property
    def is_moved(self) -> bool:
        """Whether the identity in use is reached another way by now: then this conversation is over."""
        try:
            return self._session.identity.transport != self.transport
        except EdgewrightError:
            return False

    def greet(self) -> bool:
        """Begin a conversation if whom we talk to, or as whom, is not what it was; return whether it is new.

        What was on its way to another fleet manager is none of this one's business and is dropped. Of the
        same one that is reached another way from now on nobody knows how much has arrived: it is told anew.
        """
        relation = self._own_relation()
        if relation in ("", self._relation):
            return False  # without a readable identity right now: it may be in the middle of being replaced
        with self._store.transaction():
            if self._store.meta(RELATION) not in (None, relation):
                self.outbox.clear()
                self._forget()
            elif (self._store.meta(TRANSPORT) or API) != self.transport:
                self.outbox.queue_again()
            self._store.set_meta(RELATION, relation)
            self._store.set_meta(TRANSPORT, self.transport)
            raise_latest(self._store, self._session.identity.not_before)
        self._begin()
        self._relation = relation  # only now: on a full disk nothing of it may be done yet
        return True

    def note_contact(self) -> None:
        """Let the store know when the fleet manager answered last: the process, or the machine, may end."""
        last = self._contact.last()
        if last is not None:
            self._store.set_meta(LAST_CONTACT, str(int(last)))

    def _forget(self) -> None:
        """Forget what another fleet manager has said."""
        self._manners.forget()
        for name in (SUGGESTED, SUGGESTED_TAG, OURS):
            self._store.set_meta(name, "")

    @abstractmethod
    def _begin(self) -> None:
        """Do what a new conversation begins with."""

    def _own_relation(self) -> str:
        """Return the identity in use; empty when its files cannot be read now."""
        try:
            return self._session.identity.relation
        except EdgewrightError:
            return ""

    def _mind(self, rate: float) -> None:
        """Let a rate that was raised count at once: who asked every day would do so until tomorrow."""
        if rate < self._rate and not self.polls.failures:
            self.polls.due = min(self.polls.due, self._clock.monotonic() + spread(rate, jitter()))
        self._rate = rate

    def _may_ask(self, channel: Channel) -> bool:
        return (
            self._clock.monotonic() >= channel.due
            and self.hours.may_talk
            and self._manners.quiet_seconds() <= 0
        )

    def _silence(self) -> float:
        """Return for how many seconds nothing may be said, because the site or the other side wants it so."""
        return max(self._manners.quiet_seconds(), self.hours.talks_in)

    def _reached(self) -> None:
        """Note that the way is open: what waited only for that goes at once."""
        self._contact.note()
        for channel in (self.polls, self.posts):
            if channel.failures and not channel.told:
                channel.succeeded()
        if self._store.remembered(LAST_PROBLEM):
            log.info("the fleet manager answers again")
            self._store.set_meta(LAST_PROBLEM, "")
            self._noted = float("-inf")
        if self._clock.monotonic() - self._noted > _CONTACT_NOTED_EVERY_SECONDS:
            self._noted = self._clock.monotonic()
            self.note_contact()

    def _problem(self, error: EdgewrightError) -> None:
        """Say once, not at every attempt, what is wrong."""
        if self._store.meta(LAST_PROBLEM) != str(error):
            self._store.set_meta(LAST_PROBLEM, str(error))
            log.warning(str(error))
