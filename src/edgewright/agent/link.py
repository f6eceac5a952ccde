"""The conversation with the fleet manager: capabilities first, then reports and polls, each at its time.

Decides when the next request may go out and what an answer changes; the requests themselves are made by
`sources/api.py` and `sinks/api.py`. Used by the watch for as long as it lives and by `sync` for one turn.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import time

from edgewright.agent import log
from edgewright.agent.answers import RefusalError, pause_after
from edgewright.agent.backoff import jitter, spread
from edgewright.agent.contact import Contact
from edgewright.agent.failpoints import hit
from edgewright.agent.outbox import CAPABILITIES, DELIVERED, Outbox, Report
from edgewright.agent.session import Session
from edgewright.agent.sinks import api as sink
from edgewright.agent.sources import api as source
from edgewright.agent.store import SERVER, Manifest, Store
from edgewright.protocol.errors import EdgewrightError

LAST_CONTACT = "contact.last"
LAST_PROBLEM = "contact.problem"
_CONTACT_NOTED_EVERY_SECONDS = 3600.0  # an idle device hardly writes to its flash
_REFUSED_POLL_SECONDS = 5.0
_RELATION = "reports.relation"

# How the fleet manager sees us: it refused our capabilities but may serve us; it serves us nothing.
_WELCOME, _DOUBTFUL, _RETIRED = 0, 1, 2


class Channel:
    """When one kind of request may be made again; times are on the monotonic clock, 0 means at once.

    `told` says that the fleet manager itself asked to wait; else the way to it was broken.
    """

    __slots__ = ("due", "failures", "told")

    def __init__(self) -> None:
        self.due = 0.0
        self.failures = 0
        self.told = False

    def failed(self, error: EdgewrightError) -> None:
        """Wait as the answer asks, or longer each time (spec: RT-4)."""
        self.failures += 1
        self.told = isinstance(error, RefusalError)
        self.due = time.monotonic() + pause_after(error, self.failures, jitter())

    def succeeded(self, wait: float = 0.0) -> None:
        """Be due again in `wait` seconds."""
        self.failures = 0
        self.told = False
        self.due = time.monotonic() + wait


class Link:
    """Session, store and outbox joined to a conversation.

    `introduced` says whether the fleet manager has answered a capabilities report in this conversation;
    nothing else is asked of it before (spec: CAP-2, ON-4).
    """

    __slots__ = (
        "_contact",
        "_noted",
        "_relation",
        "_session",
        "_standing",
        "_store",
        "introduced",
        "outbox",
        "polls",
        "posts",
    )

    def __init__(self, session: Session, store: Store) -> None:
        self._session = session
        self._store = store
        self.outbox = Outbox(store)
        self._contact = Contact(os.path.dirname(store.path))
        self.polls = Channel()
        self.posts = Channel()
        self.introduced = False
        self._relation = ""
        self._standing = _WELCOME
        self._noted = float("-inf")

    def greet(self) -> bool:
        """Begin a conversation if whom we talk to, or as whom, is not what it was; return whether it is new.

        The capabilities reported last are owed once more then, as the first word to whoever listens now;
        what was on its way to another fleet manager is none of this one's business and is dropped.
        """
        relation = self._own_relation()
        if relation in ("", self._relation):
            return False  # without a readable identity right now: it may be in the middle of being replaced
        with self._store.transaction():
            if self._store.meta(_RELATION) not in (None, relation):
                self.outbox.clear()
            self._store.set_meta(_RELATION, relation)
        self._introduce()
        self._relation = relation  # only now: on a full disk nothing of it may be done yet
        return True

    def resume(self) -> bool:
        """Go on with the conversation of an earlier process; return whether there was one to go on with."""
        relation = self._own_relation()
        known = (
            relation != ""
            and self._store.meta(_RELATION) == relation
            and self.outbox.answer(CAPABILITIES) == DELIVERED
        )
        if known:
            self._relation = relation
            self.introduced = True
        return known

    def due(self) -> float:
        """Return when (monotonic) the next request is due; infinite where something has to happen first."""
        times = [self.polls.due] if self.introduced else []
        report = self.outbox.first()
        if report is not None and self._may_send(report):
            times.append(self.posts.due)
        return min(times, default=float("inf"))

    def post(self) -> bool:
        """Send the next report if one is due; return whether one was taken out of the outbox."""
        report = self.outbox.first()
        if report is None or time.monotonic() < self.posts.due or not self._may_send(report):
            return False
        hit("report.sending")
        try:
            sink.deliver(self._session, report)
        except EdgewrightError as error:
            self._problem(error)
            if not isinstance(error, RefusalError) or error.retryable:
                self.posts.failed(error)
                return False
            # Sending the same again would get the same answer (spec: RT-4).
            self._store.record(SERVER, f"a report was refused for good: {error}")
            self.outbox.answered(report, str(error))
            if report.name == CAPABILITIES and error.is_not_authorized:
                self._standing = _DOUBTFUL
        else:
            hit("report.delivered")
            self.outbox.answered(report)
            hit("report.sent")
            self._reached()
        self.posts.succeeded()
        self.introduced = self.introduced or report.name == CAPABILITIES
        return True

    def poll(self, rate: float) -> bool:
        """Ask for the manifest if it is time, every `rate` seconds; return whether it is one to judge."""
        if not self.introduced or time.monotonic() < self.polls.due:
            return False
        try:
            received = source.poll(self._session, self._etag())
        except EdgewrightError as error:
            self._poll_failed(error, rate)
            return False
        self.polls.succeeded(spread(rate, jitter()))
        self._reached()
        if self._standing == _RETIRED:
            self._start_over()
            self._standing = _WELCOME
            return False
        self._standing = _WELCOME
        if received is None or self._store.knows(self._relation, received.digest):
            return False
        self._store.receive(
            Manifest(relation=self._relation, etag=received.etag, digest=received.digest, body=received.body)
        )
        hit("manifest.received")
        return True

    def note_contact(self) -> None:
        """Let the store know when the fleet manager answered last: the process, or the machine, may end."""
        last = self._contact.last()
        if last is not None:
            self._store.set_meta(LAST_CONTACT, str(int(last)))

    def _introduce(self) -> None:
        self.introduced = False
        self.outbox.queue_again(CAPABILITIES)

    def _may_send(self, report: Report) -> bool:
        """Capabilities come first; and who may not be welcome keeps its reports until a poll succeeded."""
        return report.name == CAPABILITIES or (self.introduced and self._standing == _WELCOME)

    def _etag(self) -> str:
        accepted = self._store.accepted()
        return accepted.etag if accepted is not None and accepted.relation == self._relation else ""

    def _own_relation(self) -> str:
        """Return the identity in use; empty when its files cannot be read now."""
        try:
            return str(self._session.identity.client)
        except EdgewrightError:
            return ""

    def _poll_failed(self, error: EdgewrightError, rate: float) -> None:
        self._problem(error)
        if isinstance(error, RefusalError) and not error.retryable and error.retry_after is None:
            # Not a retry but the next poll at its time: the answer may be another one then.
            if error.is_not_authorized:
                self._standing = _RETIRED
            self.polls.succeeded(spread(max(rate, _REFUSED_POLL_SECONDS), jitter()))
        else:
            self.polls.failed(error)

    def _start_over(self) -> None:
        """Report everything once more: what was sent while we were not accepted was not kept."""
        self.outbox.queue_again()
        self._introduce()
        self.polls.succeeded()

    def _reached(self) -> None:
        """Note that the way is open: what waited only for that goes at once."""
        self._contact.note()
        for channel in (self.polls, self.posts):
            if channel.failures and not channel.told:
                channel.succeeded()
        if self._store.meta(LAST_PROBLEM):
            log.info("the fleet manager answers again")
            self._store.set_meta(LAST_PROBLEM, "")
            self._noted = float("-inf")
        if time.monotonic() - self._noted > _CONTACT_NOTED_EVERY_SECONDS:
            self._noted = time.monotonic()
            self.note_contact()

    def _problem(self, error: EdgewrightError) -> None:
        """Say once, not at every attempt, what is wrong."""
        if self._store.meta(LAST_PROBLEM) != str(error):
            self._store.set_meta(LAST_PROBLEM, str(error))
            log.warning(str(error))
