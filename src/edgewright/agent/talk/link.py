"""The conversation by the device API: capabilities first, then reports and polls, each at its time.

Decides when the next request may go out and what an answer changes (`conversation.py` has what is not of the
API alone); the requests themselves are made by `sources/api.py` and `sinks/api.py`.

Where the fleet manager offers it, a poll is one whose answer is held back until there is news: it is begun,
listened for by whoever waits (`fd`, `hear`), and everything else is said meanwhile. It changes how soon news
are here, not how often is asked: from one poll to the next it is the site's rate in any case.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from edgewright.agent import log
from edgewright.agent.backoff import jitter, spread
from edgewright.agent.clock import SYSTEM, Clock
from edgewright.agent.failpoints import hit
from edgewright.agent.sinks import api as sink
from edgewright.agent.sources import api as source
from edgewright.agent.state.outbox import CAPABILITIES, DELIVERED, SITE, STATUS, Report
from edgewright.agent.state.store import SERVER, Manifest, Store
from edgewright.agent.talk.answers import RefusalError
from edgewright.agent.talk.channel import Channel
from edgewright.agent.talk.conversation import (
    OURS,
    RELATION,
    SUGGESTED,
    SUGGESTED_TAG,
    TRANSPORT,
    Conversation,
)
from edgewright.agent.talk.manners import QuietError
from edgewright.agent.talk.session import API, Session
from edgewright.protocol.errors import EdgewrightError

_REFUSED_POLL_SECONDS = 5.0
_HELD_SECONDS = 60  # what our fleet manager holds at most; a rate up to this leaves no moment without a poll
_LEAST_HELD_SECONDS = 2
_ANSWER_SECONDS = 15.0  # beyond what was asked for, until a held answer has to be here
_PLAIN_SECONDS = 900.0  # until it is asked again whether answers are held back
_NO_POLICY = "none"
_DROPS = 3  # held answers that were cut off in a row until it is done without

# How the fleet manager sees us: it refused our capabilities but may serve us; it serves us nothing.
_WELCOME, _DOUBTFUL, _RETIRED = 0, 1, 2


class Link(Conversation):
    """A conversation over the session's connections.

    `introduced` says whether the fleet manager has answered a capabilities report in this conversation;
    nothing else is asked of it before (spec: CAP-2, ON-4).
    """

    __slots__ = (
        "_covers",
        "_drops",
        "_held_until",
        "_holds_from",
        "_policies",
        "_policy",
        "_renewed_after",
        "_standing",
    )

    transport = API

    def __init__(self, session: Session, store: Store, clock: Clock = SYSTEM) -> None:
        super().__init__(session, store, clock)
        self._policies = Channel(clock)
        self._policy = store.meta(SUGGESTED_TAG) or ""
        self._held_until = 0.0
        self._holds_from = 0.0
        self._drops = 0
        self._covers = False  # whether the poll that is held back lasts until the next one is due
        self._renewed_after: str | None = (
            None  # once that entity tag is not ours any more, the next poll is due
        )
        self._standing = _WELCOME

    def resume(self) -> bool:
        """Go on with the conversation of an earlier process; return whether there was one to go on with."""
        relation = self._own_relation()
        known = (
            relation != ""
            and self._store.meta(RELATION) == relation
            and self._store.meta(TRANSPORT) in (None, API)
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
        return max(min(times, default=float("inf")), now + self._silence())

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

    def end(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _forget(self) -> None:
        super()._forget()
        self._policy = ""

    def _begin(self) -> None:
        """Owe the capabilities reported last once more, as the first word to whoever listens now."""
        self._holds_from = self._drops = 0
        self._introduce()

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
        if received is None:
            return False
        if self._store.knows(self._relation, received.digest):
            # As it comes from another transport, or from a server that names the same bytes anew.
            self._store.rename(self._relation, received.digest, received.etag)
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
