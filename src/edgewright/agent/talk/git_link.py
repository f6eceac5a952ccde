"""The conversation by a Git repository: whether `desired` moved, and what is to be written on `current`.

A poll is one question (`git/head.py`), or a short process where git has to ask it (`git/looking.py`). What
needs a repository is done by the courier, a process that fetches, judges and pushes, says a few words and
ends (`courier.py`): `news`, `policy`, `problem TEXT`. When there may be contact, and how often, is decided as
for the device API (`conversation.py`).

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from edgewright.agent import log
from edgewright.agent.backoff import jitter, spread
from edgewright.agent.clock import SYSTEM, Clock
from edgewright.agent.git import notes
from edgewright.agent.git.head import RemoteHead
from edgewright.agent.resident.child import Helper
from edgewright.agent.resident.rounds import BUSY
from edgewright.agent.state.store import Store
from edgewright.agent.talk.answers import RefusalError
from edgewright.agent.talk.channel import Channel
from edgewright.agent.talk.conversation import RELATION, TRANSPORT, Conversation
from edgewright.agent.talk.manners import QuietError
from edgewright.agent.talk.session import GIT, Session
from edgewright.net.git.url import HTTPS
from edgewright.protocol.errors import EdgewrightError

FETCH, PUSH = "--fetch", "--push"
_CURRENT = "current"
_REFUSED_POLL_SECONDS = 5.0
_BUSY_SECONDS = 5.0
_LOOK_SECONDS = 90.0
_SPARE_SECONDS = 120.0  # beyond the time a fetch and a push may take each, until a courier is taken for stuck


class CourierError(EdgewrightError):
    """A helper process could not do what it was started for; the message is what it said."""

    code = "git.courier"
    retryable = True


class GitLink(Conversation):
    """A conversation over a repository; `couriers` and `looks` start the helpers, `head` asks over HTTPS.

    Nobody has to be introduced: on the branch the capabilities come before everything else in any case.
    """

    __slots__ = (
        "_at_work",
        "_begun",
        "_couriers",
        "_head",
        "_looked",
        "_looks",
        "_said",
        "_stuck_at",
        "_task",
        "_troubled",
    )
    transport = GIT

    def __init__(
        self,
        session: Session,
        store: Store,
        clock: Clock = SYSTEM,
        *,
        couriers: Helper,
        looks: Helper,
        head: RemoteHead,
    ) -> None:
        super().__init__(session, store, clock)
        self._couriers = couriers
        self._looks = looks
        self._head = head
        self._at_work: Helper | None = None
        self._task: tuple[str, ...] = ()
        self._looked = ""
        self._said: list[str] = []  # the problems told by who is at work
        self._begun = 0  # the first report that waited when the courier was started
        self._stuck_at = float("inf")
        self._troubled = False  # a courier failed: that the server answers a poll does not mend it

    def resume(self) -> bool:
        """Go on with the conversation of an earlier process; return whether there was one to go on with."""
        relation = self._own_relation()
        known = (
            relation != ""
            and self._store.meta(RELATION) == relation
            and self._store.meta(TRANSPORT) == self.transport
        )
        if known:
            self._relation = relation
            self.introduced = True
        return known

    def due(self) -> float:
        """Return when (monotonic) the next is to be done; infinite where something has to happen first."""
        if self._at_work is not None:
            return self._stuck_at
        if not self.introduced or self._is_offline:
            return float("inf")
        now = self._clock.monotonic()
        report = 0.0 if self._owes_word else self._repeats.due(self.hours.table.report)
        times = (
            max(self.polls.due, now + (0.0 if self._asked else self.hours.polls_in)),
            max(self.posts.due, report),
        )
        return max(min(times), now + self._silence())

    @property
    def fd(self) -> int:
        """What becomes readable when a helper says something or has ended; -1 while none is at work."""
        return -1 if self._at_work is None else self._at_work.fd

    def ask(self) -> None:
        """Poll and post at once, whatever the rate and the hours, if there may be contact: a person asked."""
        self._asked = self.hours.may_talk and self._manners.quiet_seconds() <= 0
        self.polls.due = self.posts.due = 0.0

    def post(self) -> bool:
        """Have a courier write what is to be told; it takes that out of the outbox itself."""
        if not self._is_free or not self._may_ask(self.posts):
            return False
        if not self._owes_word:
            if self._clock.monotonic() < self._repeats.due(self.hours.table.report):
                return False
            # Told again though nothing changed (seed: S-27): what is there already makes no commit.
            self.outbox.queue_again()
            self._repeats.settle([_CURRENT])
            if not self._owes_word:
                return False
        self._send(PUSH)
        return False

    def poll(self, rate: float) -> bool:
        """Ask whether `desired` moved if it is time, every `rate` seconds; news are heard of later."""
        self._mind(rate)
        self._end_who_is_stuck()
        if not self._is_free or not (self._asked or self.hours.may_poll) or not self._may_ask(self.polls):
            return False
        try:
            if self._head.access.url.scheme != HTTPS:
                self._manners.before()
                self._start(self._looks, (), _LOOK_SECONDS)
                return False
            head = self._head.ask()
        except QuietError as error:
            self.polls.put_off(error)
        except EdgewrightError as error:
            self._poll_failed(error)
        else:
            self._found(head)
        return False

    def hear(self) -> bool:
        """Take in what a helper says; return whether there is news for a round."""
        helper = self._at_work
        assert helper is not None  # noqa: S101 - `fd` has just been readable
        lines, code = helper.hear()
        news = False
        for line in lines:
            word, _, rest = line.decode("utf-8", "replace").partition(" ")
            if word == "head":
                self._looked = rest
            elif word == "problem":
                self._said.append(rest)
            news = news or word in ("news", "policy")
        if code is not None:
            self._ended(helper, code)
        return news

    def fetch_policy(self) -> bool:
        """Do nothing: the courier brings the policy with everything else."""
        return False

    def end(self) -> None:
        """End who is at work: whatever was half done is begun again by the next."""
        if self._at_work is not None:
            self._at_work.kill()
            self._at_work = None
        self._head.close()

    def _begin(self) -> None:
        self.introduced = True

    @property
    def _is_offline(self) -> bool:
        """Whether there is no server to ask; what cannot be read is told by the next poll."""
        try:
            return self._head.access.is_offline
        except EdgewrightError:
            return False

    @property
    def _is_free(self) -> bool:
        return self._at_work is None and self.introduced and not self._is_offline

    @property
    def _owes_word(self) -> bool:
        return self.outbox.first() is not None or notes.owes_adopted(self._store)

    def _found(self, head: str) -> None:
        """Go on after a poll: have the courier fetch what moved, or what a person wants looked at."""
        if self._troubled:
            self._contact.note()
        else:
            self._reached()
        asked, self._asked = self._asked, False
        if asked:
            notes.let_try(self._store)
        if notes.is_news(self._store, head, self._clock.time()) or (asked and head):
            self.polls.due = self._clock.monotonic() + spread(self._rate, jitter())
            self._send(*((FETCH, PUSH) if self._owes_word else (FETCH,)))
        else:
            self.polls.succeeded(spread(self._rate, jitter()))

    def _send(self, *task: str) -> None:
        try:
            seconds = self._head.access.minutes * 60.0 * len(task)
            self._manners.before()
            first = self.outbox.first()
            self._begun = 0 if first is None else first.number
            self._start(self._couriers, task, seconds + _SPARE_SECONDS)
        except QuietError as error:
            self._put_off(task, error)
        except EdgewrightError as error:
            self._failed(task, error)

    def _start(self, helper: Helper, task: tuple[str, ...], seconds: float) -> None:
        """Start a helper that may take `seconds`. Raises OSError."""
        self._said = []
        self._task = task
        self._looked = ""
        helper.start(*task)
        self._at_work = helper
        self._stuck_at = self._clock.monotonic() + seconds

    def _ended(self, helper: Helper, code: int) -> None:
        self._at_work = None
        self._stuck_at = float("inf")
        if code == BUSY:
            self._put_off(self._task, QuietError("another courier is at work", _BUSY_SECONDS))
        elif code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            self._failed(self._task, CourierError("; ".join(self._said) or f"the courier {how}"))
        elif helper is self._looks:
            self._found(self._looked)
        else:
            self._delivered()

    def _delivered(self) -> None:
        """Go on after a courier that did what it was sent for."""
        for each in self._said:
            log.warning(each)
        self._troubled = False
        self._reached()
        if FETCH in self._task:
            self.polls.succeeded(max(self.polls.due - self._clock.monotonic(), 0.0))
        if PUSH not in self._task:
            return
        self._repeats.sent(_CURRENT)
        self._repeats.settle([_CURRENT])
        first = self.outbox.first()
        if notes.declined(self._store):
            self._failed((PUSH,), CourierError("; ".join(self._said)))
        elif first is not None and first.number == self._begun:
            self._failed((PUSH,), CourierError("the courier left undone the report for which it was sent"))
        else:
            self.posts.succeeded()

    def _put_off(self, task: tuple[str, ...], error: QuietError) -> None:
        for channel in self._channels(task):
            channel.put_off(error)

    def _failed(self, task: tuple[str, ...], error: EdgewrightError) -> None:
        """Try later what a helper could not do, later each time."""
        self._troubled = bool(task)
        self._problem(error)
        for channel in self._channels(task):
            channel.failed(error)

    def _channels(self, task: tuple[str, ...]) -> tuple[Channel, ...]:
        chosen = [self.posts] if PUSH in task else []
        return (*chosen, self.polls) if FETCH in task or not task else tuple(chosen)

    def _end_who_is_stuck(self) -> None:
        if self._at_work is not None and self._clock.monotonic() >= self._stuck_at:
            self._at_work.kill()
            self._at_work = None
            self._failed(self._task, CourierError("the courier did not end in time and was ended"))

    def _poll_failed(self, error: EdgewrightError) -> None:
        self._asked = False
        self._problem(error)
        if isinstance(error, RefusalError) and not error.retryable and error.retry_after is None:
            # Not a retry but the next poll at its time: the answer may be another one then.
            self.polls.succeeded(spread(max(self._rate, _REFUSED_POLL_SECONDS), jitter()))
        else:
            self.polls.failed(error)
