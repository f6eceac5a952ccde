"""One process, one event loop, two listeners: the device API and the web listener; a third one where Git
repositories are hosted.

Sockets are bound before anything is announced, so that a port in use is one clear line and nothing
half-started. `run.json` and the line `ready` appear when all listeners answer.
"""

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
import uvloop

from edgewright.server.accounts.oidc import IdentityProvider
from edgewright.server.app import device_app, git_app, web_app
from edgewright.server.background.conductor import Conductor
from edgewright.server.background.keeping import Keeper
from edgewright.server.catalogue.credentials import CredentialFiles
from edgewright.server.catalogue.looking import Looks
from edgewright.server.commands.first import ensure_administrator, invitation
from edgewright.server.context import ServerContext, utc_now
from edgewright.server.errors import SetupError
from edgewright.server.identity.files import Identity, load_identity, renew
from edgewright.server.listeners import tls
from edgewright.server.live.changes import Changes
from edgewright.server.live.holds import Holds, default_most
from edgewright.server.live.overview import Overview
from edgewright.server.live.standings import Standings
from edgewright.server.machine import allow_many_files, memory_bytes
from edgewright.server.repositories.external import Externals
from edgewright.server.repositories.keeper import RepositoryKeeper
from edgewright.server.settings import (
    DataDirectory,
    Listen,
    ServerSettings,
    load_settings,
    url_of,
    write_private,
)
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate

log = logging.getLogger(__name__)

UPKEEP_EVERY = timedelta(hours=6)
NEWS_EVERY = timedelta(seconds=2)
CONTACTS_EVERY = timedelta(seconds=15)
SHUTDOWN_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """How devices and people reach the listeners; `git_url` is None where no repositories are hosted."""

    device_url: str
    web_url: str
    git_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """What the server listens on."""

    device: socket.socket
    web: socket.socket
    git: socket.socket | None


def run(
    directory: DataDirectory,
    *,
    device_listen: str | None,
    web_listen: str | None,
    git_listen: str | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; listen addresses given outrank the file. Raises `SetupError`."""
    settings = load_settings(directory)
    with (
        only_server(directory),
        _sockets(
            device=device_listen or settings.device_listen,
            web=web_listen or settings.web_listen,
            git=git_listen or settings.git_listen,
        ) as sockets,
    ):
        identity = load_identity(directory.identity, settings, now=datetime.now(UTC))
        migrate(existing_database(directory))
        password = ensure_administrator(directory.database)
        if password is not None:
            address = _addresses(settings, sockets).web_url
            print(invitation(password, address), flush=True)
        provider = None if settings.oidc is None else IdentityProvider(settings.oidc)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(directory, settings, identity, sockets, provider))
    return 0


async def _serve(
    directory: DataDirectory,
    settings: ServerSettings,
    identity: Identity,
    sockets: Sockets,
    provider: IdentityProvider | None,
) -> None:
    addresses = _addresses(settings, sockets)
    open_files = allow_many_files()
    async with Database(directory.database) as database:
        context = ServerContext(
            database=database,
            settings=settings,
            identity=identity,
            device_url=addresses.device_url,
            web_url=addresses.web_url,
            git_url=addresses.git_url,
            registries=directory.registries,
            repositories=directory.repositories,
            provider=provider,
            standings=Standings(database),
            overview=Overview(database),
            holds=Holds(database, most=_most_held(settings, open_files)),
            looks=Looks(database, directory.registries, CredentialFiles(directory.sources), utc_now),
        )
        await context.begin()
        await context.standings.load()
        # What was just read of a whole fleet is never looked through for garbage again: that would stop
        # everything for a tenth of a second, again and again.
        gc.collect()
        gc.freeze()
        check = tls.spiffe_peer(settings.trust_domain, settings.wfm_id)
        contexts = Contexts(
            device=tls.device_context(identity), web=tls.web_context(identity), git=tls.git_context(identity)
        )
        listeners = [
            (_Listener(device_app(context), contexts.device, tls.device_connection(check)), sockets.device),
            (_Listener(web_app(context), contexts.web, tls.Connection), sockets.web),
        ]
        if sockets.git is not None:
            connection = tls.git_connection(check, most=open_files // 4)
            app = git_app(context, directory.repositories)
            listeners.append((_Listener(app, contexts.git, connection), sockets.git))
        _stop_on_signals(*(listener for listener, _ in listeners), changes=context.changes)
        async with (
            _upkeep(context, settings, contexts),
            context.looks.running(),
            AsyncExitStack() as announced,
            asyncio.TaskGroup() as serving,
        ):
            for listener, bound in listeners:
                serving.create_task(listener.serve([bound]))
            await asyncio.gather(*(listener.listening.wait() for listener, _ in listeners))
            announced.enter_context(_announced(directory, addresses))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """The TLS of the listeners; what is loaded into them counts for connections to come."""

    device: ssl.SSLContext
    web: ssl.SSLContext
    git: ssl.SSLContext


class _Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to its owner and says when it listens."""

    def __init__(self, app: object, context: ssl.SSLContext, connection: type[tls.Connection]) -> None:
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=tls.IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        config.load()
        config.ssl = context
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop_on_signals(*listeners: _Listener, changes: Changes) -> None:
    def stop() -> None:
        for listener in listeners:
            listener.should_exit = True
        changes.end()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


@asynccontextmanager
async def _upkeep(
    context: ServerContext, settings: ServerSettings, contexts: Contexts
) -> AsyncIterator[None]:
    """Keep certificates fresh and write down last contacts while the block runs, and once more at its end."""

    async def certificates() -> None:
        identity = context.identity
        if renew(
            identity.folder, identity.authority, identity.web_authority, settings, now=datetime.now(UTC)
        ):
            contexts.device.load_cert_chain(identity.wfm_certificate, identity.wfm_key)
            for one in (contexts.web, contexts.git):
                one.load_cert_chain(identity.web_certificate, identity.web_key)
            log.info("renewed the server's certificates")

    repositories = RepositoryKeeper(context)
    context.externals = externals = Externals(context, repositories)
    conductor = Conductor(context)
    context.settle = conductor.settle
    tasks = [
        asyncio.create_task(repeat(UPKEEP_EVERY, certificates, "renewing certificates")),
        asyncio.create_task(repeat(NEWS_EVERY, context.tell_news, "looking at the contacts")),
        asyncio.create_task(repeat(CONTACTS_EVERY, context.save_contacts, "saving last contacts")),
        asyncio.create_task(conductor.run()),
        asyncio.create_task(Keeper(context).run()),
        asyncio.create_task(repositories.run()),
        asyncio.create_task(externals.run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await context.save_contacts(is_end=True)


async def repeat(every: timedelta, action: Callable[[], Awaitable[None]], what: str) -> None:
    """Do `action` again and again; a failure is told and does not end it."""
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            await action()
        except Exception:
            log.exception("%s failed; the next try is in %s", what, every)


@contextmanager
def only_server(directory: DataDirectory) -> Iterator[None]:
    """Refuse a second server on the same data: two would issue the same manifest versions."""
    descriptor = os.open(directory.root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SetupError(
            f"{directory.root}: another server is running on this directory"
            f" (its process id is in {directory.run.name}); stop it first"
        ) from error
    else:
        yield
    finally:
        os.close(descriptor)


def existing_database(directory: DataDirectory) -> Path:
    """Return the path of the database; a server never starts from nothing where there was something.

    An empty one would know no device and count manifest versions from 1 again (spec: OP-16).
    """
    if not directory.database.exists():
        raise SetupError(
            f"{directory.database} is missing; put it back from a backup,"
            " then run 'edgewright server renumber'"
        )
    return directory.database


@contextmanager
def _sockets(*, device: str, web: str, git: str | None) -> Iterator[Sockets]:
    """Bind what the server listens on; raises `SetupError` naming the option of what cannot be had."""
    with contextlib.ExitStack() as bound:
        yield Sockets(
            device=bound.enter_context(_bound(Listen.parse(device), "--device-listen")),
            web=bound.enter_context(_bound(Listen.parse(web), "--web-listen")),
            git=bound.enter_context(_bound(Listen.parse(git), "--git-listen")) if git else None,
        )


@contextmanager
def _bound(listen: Listen, option: str) -> Iterator[socket.socket]:
    """Bind `listen`; raises `SetupError` naming the port and the way out."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        bound = socket.create_server((listen.host, listen.port), family=family, backlog=2048)
    except PermissionError as error:
        raise SetupError(
            f"not allowed to listen on {listen}: ports below 1024 need root or CAP_NET_BIND_SERVICE;"
            f" choose another with {option} HOST:PORT"
        ) from error
    except OSError as error:
        raise SetupError(
            f"cannot listen on {listen}: {os.strerror(error.errno) if error.errno else error};"
            f" stop what uses it or choose another with {option} HOST:PORT"
        ) from error
    with bound:
        bound.setblocking(False)
        yield bound


def _most_held(settings: ServerSettings, open_files: int) -> int:
    """Return how many polls may be held: as the file says, else by what the machine has."""
    if settings.held_polls is not None:
        return settings.held_polls
    return default_most(memory_bytes(), open_files)


def _addresses(settings: ServerSettings, sockets: Sockets) -> Addresses:
    def url(given: str | None, bound: socket.socket) -> str:
        return given or url_of(settings.hosts[0], bound.getsockname()[1])

    return Addresses(
        device_url=url(settings.device_url, sockets.device),
        web_url=url(settings.web_url, sockets.web),
        git_url=url(settings.git_url, sockets.git) if sockets.git is not None else None,
    )


@contextmanager
def _announced(directory: DataDirectory, addresses: Addresses) -> Iterator[None]:
    """Say where the server is, for people and programs, while the block runs."""
    _update_operator_file(directory, addresses.web_url)
    about = {
        "pid": os.getpid(),
        "device_url": addresses.device_url,
        "web_url": addresses.web_url,
        "git_url": addresses.git_url,
    }
    write_private(directory.run, json.dumps(about).encode())
    print(f"device API    {addresses.device_url}", flush=True)
    print(f"web, operator {addresses.web_url}", flush=True)
    if addresses.git_url is not None:
        print(f"repositories  {addresses.git_url}", flush=True)
    print("ready", flush=True)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            directory.run.unlink()


def _update_operator_file(directory: DataDirectory, web_url: str) -> None:
    """Write the web listener's present URL into operator.json, which may have been moved away on purpose."""
    try:
        content = json.loads(directory.operator.read_bytes())
    except FileNotFoundError:
        return
    except ValueError as error:
        raise SetupError(f"{directory.operator}: {error}; delete it or put it back from a backup") from error
    if content.get("url") != web_url:
        write_private(directory.operator, json.dumps({**content, "url": web_url}, indent=2).encode())
