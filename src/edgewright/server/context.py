"""What the parts of one running server share; made once, at start, and handed to both applications."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import Request
from litestar.datastructures import State

from edgewright.protocol.calendar import Interval
from edgewright.server.accounts.oidc import IdentityProvider
from edgewright.server.accounts.passwords import Passwords
from edgewright.server.catalogue.looking import Looks
from edgewright.server.domain.admission import Asking
from edgewright.server.domain.throttle import Throttle
from edgewright.server.identity.files import Identity
from edgewright.server.live.changes import Changes
from edgewright.server.live.holds import Holds
from edgewright.server.live.overview import NOBODY, Overview, Row
from edgewright.server.live.standings import Standings
from edgewright.server.repositories.signing import principal_of
from edgewright.server.settings import ServerSettings
from edgewright.server.store import clients, runs, timeline
from edgewright.server.store.clients import Client
from edgewright.server.store.database import Database

if TYPE_CHECKING:
    from edgewright.server.repositories.external import Externals

# How often the server writes that it runs, if there is nothing else to write.
ALIVE_EVERY = timedelta(hours=1)

# How far back the timeline of a device tells of its contact.
KEEP_CONTACTS = timedelta(days=400)

ServerRequest = Request[Any, Any, State]


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


async def nothing_to_settle() -> None:
    """Return at once: nobody takes rollouts further here."""


def nobody_to_tell(client_id: str) -> None:
    """Do nothing: nobody here reads what devices push."""


async def nobody_to_wait_for(client_id: str) -> None:
    """Return at once: nobody here keeps repositories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Who was heard of at `now`: `contacts` are at least as new as what is saved, `deaf` is when nobody
    listened. `cut` is when the connection broke of those who waited for news and were not heard of since.
    """

    now: datetime
    contacts: Mapping[str, datetime]
    deaf: Sequence[Interval]
    cut: Mapping[str, datetime] = field(default_factory=lambda: NOBODY)

    def last(self, client: Client) -> datetime | None:
        """Return when the client was heard of last."""
        return self.contacts.get(client.client_id, client.last_contact)


@dataclass(slots=True, kw_only=True)
class ServerContext:
    """The database, the identity, the addresses; and when each client was heard of.

    `contacts` are those since the last save, `heard_at` all since the start, `cut_at` when a
    waiting poll broke. `run` is the number of this
    run, `deaf` when no server ran here, in unix seconds. `settle` waits a moment for rollouts to follow what
    was just committed. `git_url` is where devices reach the repositories hosted here, None where nothing
    listens for them; `pushed` is told whose branch `current` a push has moved, and `in_step` waits until a
    client's repository (below `repositories`) is as it should be, or it is known why not. `externals` brings
    those on other Git servers in step; it works by this context, and is set before anything listens.
    """

    database: Database
    settings: ServerSettings
    identity: Identity
    device_url: str
    web_url: str
    registries: Path
    repositories: Path
    standings: Standings
    overview: Overview
    holds: Holds
    looks: Looks
    git_url: str | None = None
    throttle: Throttle = field(default_factory=Throttle)
    asking: Asking = field(default_factory=Asking)
    passwords: Passwords = field(default_factory=Passwords)
    provider: IdentityProvider | None = None
    clock: Callable[[], datetime] = utc_now
    changes: Changes = field(init=False)
    contacts: dict[str, datetime] = field(default_factory=dict)
    heard_at: dict[str, datetime] = field(default_factory=dict)
    cut_at: dict[str, datetime] = field(default_factory=dict)
    run: int = 0
    deaf: Sequence[Interval] = ()
    saved: datetime = field(default_factory=utc_now)
    settle: Callable[[], Awaitable[None]] = nothing_to_settle
    pushed: Callable[[str], None] = nobody_to_tell
    in_step: Callable[[str], Awaitable[None]] = nobody_to_wait_for
    externals: "Externals" = field(init=False)

    def __post_init__(self) -> None:
        self.changes = Changes(self.database)

    @property
    def principal(self) -> str:
        """Under which name this server signs commits."""
        return principal_of(self.settings.trust_domain, self.settings.wfm_id)

    async def begin(self) -> None:
        """Note that a server runs here from now on, and learn when none did."""
        self.saved = self.clock()
        async with self.database.writing() as connection:
            self.run = await runs.begin(connection, now=self.saved)
            gaps = await runs.gaps(connection)
            await timeline.forget_contacts(connection, before=self.saved - KEEP_CONTACTS)
            noted = await timeline.last_contacts(connection)
        await self.overview.refresh()
        self.overview.note_contacts(noted)
        self.deaf = tuple((stopped.timestamp(), started.timestamp()) for stopped, started in gaps)

    def heard_of(self, client_id: str) -> None:
        """Remember that a client made contact; a poll must not cost a write."""
        self.contacts[client_id] = self.heard_at[client_id] = self.clock()
        self.cut_at.pop(client_id, None)

    def cut_off(self, client_id: str) -> None:
        """Remember that the connection broke on which a client waited for news."""
        self.cut_at[client_id] = self.clock()

    @property
    def heard(self) -> Heard:
        """What is known of who was heard of, and when, at this moment."""
        return Heard(now=self.clock(), contacts=self.heard_at, deaf=self.deaf, cut=self.cut_at)

    async def rows(self) -> list[Row]:
        """Return how it stands with every device at this moment."""
        heard = self.heard
        return await self.overview.rows(heard.contacts, heard.now, heard.deaf, heard.cut)

    async def tell_news(self) -> None:
        """Announce what changed without a transaction: who was heard of, and whose word is another now.

        That the contact with a device changed is written down as well, for its timeline.
        """
        await self.rows()
        topics = self.overview.news(self.clock())
        if topics:
            self.database.tell(topics)
        changed = self.overview.contact_changes()
        if changed:
            async with self.database.writing() as connection:
                await timeline.note_contacts(connection, changed)
            self.overview.note_contacts({one.client_id: one.word for one in changed})

    async def save_contacts(self, *, is_end: bool = False) -> None:
        """Write down the contacts since the last save, and that the server was there to hear of them."""
        now = self.clock()
        if not (self.contacts or is_end) and now - self.saved < ALIVE_EVERY:
            return
        contacts, self.contacts = self.contacts, {}
        try:
            async with self.database.writing() as connection:
                await clients.save_contacts(connection, contacts)
                await runs.go_on(connection, self.run, now=now)
        except BaseException:
            self.contacts = contacts | self.contacts
            raise
        self.saved = now


def context_of(request: ServerRequest) -> ServerContext:
    """Return the context of the server that handles `request`."""
    context: ServerContext = request.app.state.context
    return context
