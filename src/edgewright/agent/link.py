"""The conversation with the fleet manager: capabilities first, then reports and polls, each at its time.

Decides when the next request may go out and what an answer changes; the requests themselves are made by
`sources/api.py` and `sinks/api.py`. When there may be contact at all is the site's word (`hours.py`) and the
fleet manager's (`manners.py`). Used by the watch for as long as it lives and by `sync` for one turn.

Where the fleet manager offers it, a poll is one whose answer is held back until there is news: it is begun,
listened for by whoever waits (`fd`, `hear`), and everything else is said meanwhile. It changes how soon news
are here, not how often is asked: from one poll to the next it is the site's rate in any case.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os

from edgewright.agent import log
from edgewright.agent.answers import RefusalError
from edgewright.agent.backoff import jitter, spread
from edgewright.agent.channel import Channel
from edgewright.agent.clock import SYSTEM, Clock, raise_latest
from edgewright.agent.contact import Contact
from edgewright.agent.failpoints import hit
from edgewright.agent.hours import Hours
from edgewright.agent.manners import Manners, QuietError
from edgewright.agent.outbox import CAPABILITIES, DELIVERED, SITE, STATUS, Outbox, Report
from edgewright.agent.repeats import Repeats
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
SUGGESTED, SUGGESTED_TAG = "policy.suggested", "policy.suggested.etag"
OURS = "server.edgewright"
"""The meta name of whether this fleet manager knows what the specification does not: `/edgewright/v1/`."""
_HELD_SECONDS = 60  # what our fleet manager holds at most; a rate up to this leaves no moment without a poll
_LEAST_HELD_SECONDS = 2
_ANSWER_SECONDS = 15.0  # beyond what was asked for, until a held answer has to be here
_PLAIN_SECONDS = 900.0  # until it is asked again whether answers are held back
_NO_POLICY = "none"
_DROPS = 3  # held answers that were cut off in a row until it is done without

# How the fleet manager sees us: it refused our capabilities but may serve us; it serves us nothing.
_WELCOME, _DOUBTFUL, _RETIRED = 0, 1, 2


class Link:
    """Session, store and outbox joined to a conversation.

    `introduced` says whether the fleet manager has answered a capabilities report in this conversation;
    nothing else is asked of it before (spec: CAP-2, ON-4).
    """

    __slots__ = (
        "_asked",
        "_clock",
        "_contact",
        "_covers",
        "_drops",
        "_held_until",
        "_holds_from",
        "_manners",
        "_noted",
        "_policies",
        "_policy",
        "_rate",
        "_relation",
        "_renewed_after",
        "_repeats",
        "_session",
        "_standing",
        "_store",
        "hours",
        "introduced",
        "outbox",
        "polls",
        "posts",
    )

    def __init__(self, session: Session, store: Store, clock: Clock = SYSTEM) -> None:
        self._session = session
        self._store = store
        self._clock = clock
        self.outbox = Outbox(store)
        self.hours = Hours(store, clock, late=jitter())
        self._manners = Manners(store, clock, self.hours)
        self._contact = Contact(os.path.dirname(store.path))
        self.polls = Channel(clock)
        self.posts = Channel(clock)
        self._policies = Channel(clock)
        self._policy = store.meta(SUGGESTED_TAG) or ""
        self._repeats = Repeats(clock)
        self._rate = 0.0
        self._asked = False
        self._held_until = 0.0
        self._holds_from = 0.0
        self._drops = 0
        self._covers = False  # whether the poll that is held back lasts until the next one is due
        self._renewed_after: str | None = (
            None  # once that entity tag is not ours any more, the next poll is due
        )
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
                self._manners.forget()
                for name in (SUGGESTED, SUGGESTED_TAG, OURS):
                    self._store.set_meta(name, "")
                self._policy = ""
            self._store.set_meta(_RELATION, relation)
            raise_latest(self._store, self._session.identity.not_before)
        self._holds_from = self._drops = 0
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
        self._renew()
        now = self._clock.monotonic()
        times = []
        if self._session.held >= 0:
            times.append(min(self._held_until, now + self.hours.closes_in))
        elif self.introduced:
            times.append(max(self.polls.due, now + (0.0 if self._asked else self.hours.polls_in)))
        if self._owes_policy():
            times.append(self._policies.due)
        if self._first() is not None:
            times.append(self.posts.due)
        elif self.introduced and self._standing == _WELCOME:
            times.append(max(self.posts.due, self._repeats.due(self.hours.table.report)))
        wait = max(self._manners.quiet_seconds(), self.hours.talks_in)
        return max(min(times, default=float("inf")), now + wait)

    @property
    def fd(self) -> int:
        """What becomes readable when an answer arrives that was held back; -1 while none is waited for."""
        return self._session.held

    def ask(self) -> None:
        """Poll and post at once, whatever the rate and the hours, if there may be contact: a person asked."""
        self._asked = self.hours.may_talk and self._manners.quiet_seconds() <= 0
        self._session.let_go()
        self.polls.due = self.posts.due = 0.0

    def post(self) -> bool:
        """Send the next report if one is due; return whether one was taken out of the outbox."""
        report = self._first()
        if not self._may_ask(self.posts):
            return False
        if report is None:
            self._repeat()
            return False
        hit("report.sending")
        try:
            sink.deliver(self._session, report)
        except QuietError as error:
            self.posts.put_off(error)
            return False
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
        self._repeats.sent(report.name)
        self.posts.succeeded()
        self.introduced = self.introduced or report.name == CAPABILITIES
        return True

    def poll(self, rate: float) -> bool:
        """Ask for the manifest if it is time, every `rate` seconds; return whether it is one to judge."""
        self._mind(rate)
        if self._session.held >= 0:
            self._give_up_late()
            return False
        self._renew()
        if not self.introduced or not (self._asked or self.hours.may_poll) or not self._may_ask(self.polls):
            return False
        etag = self._etag()
        seconds = self._patience(rate) if etag else 0
        self._asked = False
        try:
            if seconds:
                source.begin_poll(self._session, etag, seconds)
                self._held_until = self._clock.monotonic() + seconds + _ANSWER_SECONDS
                self._covers = rate <= _HELD_SECONDS
                pause = seconds if self._covers else spread(rate, jitter())
                self.polls.due = self._clock.monotonic() + pause
                return False
            answer = source.poll(self._session, etag)
        except QuietError as error:
            self.polls.put_off(error)
            return False
        except EdgewrightError as error:
            self._poll_failed(error, rate)
            return False
        self.polls.succeeded(spread(rate, jitter()))
        return self._taken(answer, etag, may_renew=bool(answer.policy) and not etag and rate <= _HELD_SECONDS)

    def _mind(self, rate: float) -> None:
        """Let a rate that was raised count at once: who asked every day would do so until tomorrow."""
        if rate < self._rate and not self.polls.failures:
            self.polls.due = min(self.polls.due, self._clock.monotonic() + spread(rate, jitter()))
        self._rate = rate

    def hear(self) -> bool:
        """Take in what arrived of an answer that was held back; return whether it is news to judge."""
        rate = max(self.polls.due - self._clock.monotonic(), 0.0)
        etag = self._etag()
        try:
            answer = source.end_poll(self._session, etag)
        except RefusalError as error:
            self._poll_failed(error, rate)
            return False
        except EdgewrightError as error:
            self._dropped(error)
            return False
        if answer is None:
            return False
        self._drops = 0
        if not answer.held and answer.manifest is None:  # news come at once from anybody
            self._do_without()
        self.polls.succeeded(rate)
        return self._taken(answer, etag, may_renew=answer.held and self._covers)

    def fetch_policy(self) -> bool:
        """Fetch the policy the fleet manager suggests if it is another one; return whether it is."""
        if not self._owes_policy() or not self._may_ask(self._policies):
            return False
        try:
            text = source.fetch_policy(self._session) if self._policy != _NO_POLICY else ""
        except QuietError as error:
            self._policies.put_off(error)
            return False
        except EdgewrightError as error:
            self._problem(error)
            self._policies.failed(error)
            return False
        self._policies.succeeded()
        news = text != (self._store.meta(SUGGESTED) or "")
        with self._store.transaction():
            self._store.set_meta(SUGGESTED, text)
            self._store.set_meta(SUGGESTED_TAG, self._policy)
        return news

    def note_contact(self) -> None:
        """Let the store know when the fleet manager answered last: the process, or the machine, may end."""
        last = self._contact.last()
        if last is not None:
            self._store.set_meta(LAST_CONTACT, str(int(last)))

    def _introduce(self) -> None:
        self.introduced = False
        self.outbox.queue_again(CAPABILITIES)

    def _first(self) -> Report | None:
        """Return the next report that may be sent now.

        Capabilities come first; who may not be welcome keeps its reports until a poll succeeded; and what
        only a fleet manager of ours understands waits until this one has shown to be one.
        """
        report = self.outbox.first(without="" if self._store.remembered(OURS) else SITE)
        if report is None or report.name == CAPABILITIES:
            return report
        return report if self.introduced and self._standing == _WELCOME else None

    def _may_ask(self, channel: Channel) -> bool:
        return (
            self._clock.monotonic() >= channel.due
            and self.hours.may_talk
            and self._manners.quiet_seconds() <= 0
        )

    def _owes_policy(self) -> bool:
        return self.introduced and self._policy != (self._store.remembered(SUGGESTED_TAG) or "")

    def _patience(self, rate: float) -> int:
        """Return for how many seconds an answer may be held back, 0 for not at all."""
        if self._asked or self._clock.monotonic() < self._holds_from:
            return 0
        seconds = int(min(spread(rate, jitter()), _HELD_SECONDS, self.hours.closes_in - 1.0))
        return seconds if seconds >= _LEAST_HELD_SECONDS else 0

    def _taken(self, answer: source.Answer, etag: str, *, may_renew: bool) -> bool:
        """Take in the answer to a poll that came with `etag`; return whether there is a manifest to judge.

        `may_renew`: the fleet manager holds polls as long as the rate is, so that the next one goes out as
        soon as the news are accepted: what changes then is here at once as well.
        """
        self._reached()
        if answer.policy:
            self._store.set_meta(OURS, "yes")
            self._policy = answer.policy
        if self._standing == _RETIRED:
            self._start_over()
            self._standing = _WELCOME
            return False
        self._standing = _WELCOME
        received = answer.manifest
        if received is None or self._store.knows(self._relation, received.digest):
            return False
        self._store.receive(
            Manifest(relation=self._relation, etag=received.etag, digest=received.digest, body=received.body)
        )
        hit("manifest.received")
        self._renewed_after = etag if may_renew else None
        return True

    def _renew(self) -> None:
        """Have the next poll go out once the news of the last one were accepted."""
        if self._renewed_after is not None and self._etag() != self._renewed_after:
            self._renewed_after = None
            self.polls.due = min(self.polls.due, self._clock.monotonic())

    def _give_up_late(self) -> None:
        """Wait no longer for what is held back past its time, or past the hours in which that is allowed."""
        if not self.hours.may_poll:
            self._session.let_go()
        elif self._clock.monotonic() >= self._held_until:
            self._session.let_go()
            self._do_without()

    def _dropped(self, error: EdgewrightError) -> None:
        """Go on after a held answer was cut off: with the next poll, at its time.

        That is another moment for each device the server held: its return is no stampede (spec: RT-6).
        """
        self._drops += 1
        if self._drops >= _DROPS:
            log.info(f"polls are not held back for a while: {error}")
            self._do_without()

    def _do_without(self) -> None:
        self._session.let_go()
        self._drops = 0
        self._holds_from = self._clock.monotonic() + _PLAIN_SECONDS

    def _repeat(self) -> None:
        """Send again what was reported last and is still so, where nothing was sent for long (seed: S-27)."""
        if not self.introduced or self._standing != _WELCOME:
            return
        rate = self.hours.table.report
        if self._clock.monotonic() < self._repeats.due(rate):
            return
        last = self.outbox.last(STATUS)
        for report in last:
            if not self._repeats.is_due(report.name, rate):
                continue
            try:
                sink.deliver(self._session, report)
            except QuietError as error:
                self.posts.put_off(error)
                return
            except EdgewrightError as error:
                if not isinstance(error, RefusalError) or error.retryable:
                    self._problem(error)
                    self.posts.failed(error)
                    return
            else:
                self._reached()
            self._repeats.sent(report.name)
        self._repeats.settle([each.name for each in last])

    def _etag(self) -> str:
        accepted = self._store.accepted()
        return accepted.etag if accepted is not None and accepted.relation == self._relation else ""

    def _own_relation(self) -> str:
        """Return the identity in use; empty when its files cannot be read now."""
        try:
            return self._session.identity.relation
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
