"""The demo's steps in their order: each does one thing a person would do, looks at the result and says it.

Whatever a step starts is taken down by the `ExitStack` of the `World`, last first, however the demo ends.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edgewright.agent.runtimes import EngineError
from edgewright.agent.runtimes.compose_program import ComposeProgram, find_compose_program
from edgewright.agent.runtimes.engine import Engine
from edgewright.cli.demo.engines import Leavings, find_leavings, open_engine, remove_leavings
from edgewright.cli.demo.hello_files import copy_for, push_images
from edgewright.cli.demo.images import find_busybox
from edgewright.cli.demo.processes import (
    Background,
    edgewright,
    follow_edgewright,
    free_port,
    run_edgewright,
    wait_for,
)
from edgewright.cli.demo.registry import find_program, open_registry
from edgewright.cli.demo.report import Report
from edgewright.cli.errors import OutcomeError, UsageError
from edgewright.net.http import Client, HttpError
from edgewright.net.oci import RegistryClient
from edgewright.protocol import yaml

DEVICE = "demo-device"
COMMAND_SECONDS = 120.0
GREETING = "Good morning, night shift"


class Reading(msgspec.Struct, frozen=True):
    """What the sensor says; `history` is there from version 2.0.0 on."""

    value: float
    unit: str
    history: list[float] = []


class Page(msgspec.Struct, frozen=True):
    """What the application's page shows."""

    version: str
    greeting: str
    colour: str
    machine: str
    visits: int
    reading: Reading | None = None


@dataclass(slots=True, kw_only=True)
class World:
    """Everything the demo has started so far; what a step needs of an earlier one is here."""

    folder: Path
    report: Report
    stack: ExitStack
    wanted_engine: str
    wanted_compose: str | None
    logs: dict[str, Path] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    registry: str = ""
    deployment: str = ""
    port: int = 0
    visits: int = 0
    found_engine: Engine | None = None
    compose: ComposeProgram | None = None

    @property
    def engine(self) -> Engine:
        """The container engine, once it has been found."""
        assert self.found_engine is not None  # noqa: S101 - the first steps set it
        return self.found_engine

    def run(self, *words: str) -> str:
        """Carry out `edgewright WORDS`, shown to the person; return what it printed."""
        self._show(words)
        return run_edgewright(words, self.environment, timeout=COMMAND_SECONDS)

    def ask(self, *words: str) -> Any:
        """Return the answer to `edgewright WORDS`, asked for as JSON."""
        self._show(words)
        words = (*words, "-o", "json")
        return msgspec.json.decode(run_edgewright(words, self.environment, timeout=COMMAND_SECONDS))

    def follow(self, *words: str) -> None:
        """Carry out `edgewright deployment WORDS`, and show what it says of the deployment as it says it."""
        words = ("deployment", *words, "--timeout", "90s")
        self._show(words)

        def tell(line: str) -> None:
            name, _, state = line.partition(": ")
            if name.startswith(self.deployment[:8]):
                self.report.detail(state)

        follow_edgewright(words, self.environment, self.folder / "command.log", tell)

    def start(self, name: str, *words: str) -> Background:
        """Start `edgewright WORDS` beside the demo; it ends with the demo."""
        self._show(words)
        self.logs[name] = self.folder / f"{words[0]}.log"
        process = Background(f"the {name}", edgewright(words), self.logs[name], self.environment)
        self.stack.callback(process.stop)
        return process

    def _show(self, words: Sequence[str]) -> None:
        shown = (_shown(word, self) for word in words)
        self.report.command(f"edgewright {' '.join(shown)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its title, what it does (returning what was seen), and whose logs explain a failure."""

    title: str
    run: Callable[[World], str]
    logs: tuple[str, ...] = ()


def look_around(world: World) -> str:
    """Find the programs the demo needs, before anything is started."""
    find_program()
    find_busybox()
    try:
        world.compose = find_compose_program(world.wanted_compose, os.environ)
    except EngineError as error:
        raise UsageError(f"{error}\nTo try one that is elsewhere, give --compose FILE") from error
    return f"Compose {world.compose.version}, registry, static busybox"


def start_registry(world: World) -> str:
    """Start the registry, and the engine, which may have to be told of it."""
    world.logs["registry"] = world.folder / "registry.log"
    world.logs["engine"] = world.folder / "podman.log"  # only where the demo starts one
    world.registry = world.stack.enter_context(open_registry(world.folder))
    opened = open_engine(world.wanted_engine, world.folder, world.registry)
    world.found_engine = world.stack.enter_context(opened)
    world.stack.callback(_remove_images, world.engine, world.registry)
    info = world.engine.info()
    return f"{world.registry}, for {info.kind.capitalize()} {info.version}"


def publish(world: World) -> str:
    """Put images, components and both versions of the application into the registry."""
    with RegistryClient(world.registry) as client:
        images = push_images(client)
    hello = world.folder / "hello"
    copy_for(world.registry, hello)
    for version in ("1.0.0", "2.0.0"):
        target = f"oci://{world.registry}/hello/package"
        components = str(hello / version / "components")
        package = str(hello / version / "package")
        # 2.0.0 brings a new greeter only; the sensor's 1.0.0 is in the registry by then.
        world.run("package", "publish", package, target, "--components", components)
    return f"{len(images)} images, 3 components, hello 1.0.0 and 2.0.0"


def start_server(world: World) -> str:
    """Make a fleet manager and run it; from here on the commands talk to it."""
    data = world.folder / "server"
    listen = ("--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0")
    hosts = ("--host", "127.0.0.1", "--host", "localhost")
    world.run("server", "init", "--data", str(data), "--trust-domain", "demo.example", *hosts, *listen)
    process = world.start("fleet manager", "server", "run", "--data", str(data))
    ready = process.wait_for(lambda: _run_file(data / "run.json"), what="not ready", timeout=30.0)
    context = world.folder / "context.json"
    world.environment["EDGEWRIGHT_CONTEXT"] = str(context)
    world.run("login", str(data / "operator.json"))
    return str(ready["web_url"])


def enroll(world: World) -> str:
    """Invite a device, enroll this machine as that device, and run its agent until it was heard of."""
    token = world.ask("enrollment", "create", DEVICE)["token"]
    state, config = str(world.folder / "device"), world.folder / "agent.yaml"
    compose = world.compose.path if world.compose else None
    settings = {
        "engine": {"socket": world.engine.socket_path, "compose": compose},
        "capabilities": {"vendor": "Edgewright", "modelNumber": "Demo", "serialNumber": "1"},
    }
    config.write_bytes(yaml.dump(settings))
    # Its own policy, not the one of the machine it is shown on; news come at once whatever the rate is.
    policy = world.folder / "policy.yaml"
    policy.write_bytes(yaml.dump({"polling": {"rate": "60s"}}))
    places = ("--state", state, "--config", str(config), "--policy", str(policy))
    world.run("agent", "enroll", token, "--state", state)
    world.stack.callback(_remove_deployments, world)
    process = world.start("agent", "agent", "run", *places)
    device = process.wait_for(lambda: _reported(world), what="its capabilities did not arrive", timeout=30.0)
    return f"{DEVICE}: {device}"


def import_packages(world: World) -> str:
    """Give both versions to the fleet manager."""
    for version in ("1.0.0", "2.0.0"):
        world.run("package", "import", f"oci://{world.registry}/hello/package:{version}")
    return ", ".join(f"{one['id']} {one['version']}" for one in world.ask("package", "list"))


def install(world: World) -> str:
    """Deploy the application and wait until it runs."""
    world.port = free_port()
    made = world.ask("deployment", "create", "hello@1.0.0", "--device", DEVICE, "--set", f"port={world.port}")
    world.deployment = made["id"]
    world.follow("watch", world.deployment)
    return _components(world.ask("deployment", "show", world.deployment))


def open_page(world: World) -> str:
    """Ask the application's page as a browser would."""
    page = visit(world, lambda page: page.reading is not None, "the page did not answer with a reading")
    return _telling(page)


def update(world: World) -> str:
    """Change to the next version; what the application kept in its volume must still be there."""
    world.follow("change", world.deployment, "--version", "2.0.0", "--wait")
    before = world.visits
    page = visit(world, lambda page: page.version == "2.0.0", "the page is not of version 2.0.0")
    if page.visits <= before:
        raise OutcomeError(f"the volume was lost: {before} visits before the update, {page.visits} after")
    values = len(page.reading.history) if page.reading else 0
    return f"page {page.version} with a curve of {values} values; counter kept"


def change(world: World) -> str:
    """Change two parameters of what runs."""
    chosen = ("--set", f"greeting={GREETING}", "--set", "colour=violet")
    world.follow("change", world.deployment, *chosen, "--wait")
    page = visit(world, lambda page: page.greeting == GREETING, "the page does not greet as it was told")
    return f"“{page.greeting}”, in {page.colour}"


def remove(world: World) -> str:
    """Take the application off the device; nothing of it may stay but the images."""
    world.follow("delete", world.deployment, "--wait")
    left = find_leavings(world.engine, [world.deployment], world.registry)
    kept = Leavings(containers=left.containers, networks=left.networks, volumes=left.volumes, images=())
    if str(kept):
        raise OutcomeError(f"left on the device: {kept}")
    if _page(world) is not None:
        raise OutcomeError("the page still answers")
    return "page gone; no container, network or volume left"


STEPS: Sequence[Step] = (
    Step(title="look around", run=look_around),
    Step(title="start a registry", run=start_registry, logs=("registry", "engine")),
    Step(title="publish the application", run=publish, logs=("registry",)),
    Step(title="start a fleet manager", run=start_server, logs=("fleet manager",)),
    Step(title="enroll this device", run=enroll, logs=("agent", "fleet manager")),
    Step(title="import the packages", run=import_packages, logs=("fleet manager",)),
    Step(title="install version 1.0.0", run=install, logs=("agent",)),
    Step(title="open its page", run=open_page, logs=("agent",)),
    Step(title="update to 2.0.0", run=update, logs=("agent",)),
    Step(title="change parameters", run=change, logs=("agent",)),
    Step(title="remove it", run=remove, logs=("agent",)),
)


def visit(world: World, good: Callable[[Page], bool], complaint: str) -> Page:
    """Return the page once it is `good`; asking for it counts as a visit."""

    def look() -> Page | None:
        page = _page(world)
        return page if page is not None and good(page) else None

    page = wait_for(look, what=complaint, timeout=20.0)
    world.visits = page.visits
    return page


def _page(world: World) -> Page | None:
    """Return what the page shows, None when it does not answer as it should."""
    try:
        with Client(f"http://127.0.0.1:{world.port}", timeout=5.0) as client:
            html = client.request("GET", "/")
            state = client.request("GET", "/cgi-bin/state")
        if html.status != 200 or b"<title>" not in html.body:
            return None
        return msgspec.json.decode(state.body, type=Page)
    except (HttpError, msgspec.DecodeError):
        return None


def _telling(page: Page) -> str:
    reading = f" at {page.reading.value:.1f} {page.reading.unit}" if page.reading else ""
    return f"“{page.greeting}”: {page.machine}{reading}"


def _run_file(path: Path) -> Mapping[str, Any] | None:
    """Return what a server that is ready wrote of itself."""
    return msgspec.json.decode(path.read_bytes()) if path.exists() else None


def _reported(world: World) -> str | None:
    """Return what the device said it is, once it has."""
    device = msgspec.json.decode(run_edgewright(_SHOW, world.environment, timeout=COMMAND_SECONDS))
    if not device["devices"]:
        return None
    properties = device["devices"][0]["capabilities"]["properties"]
    cpu = properties["cpus"][0]
    return f"{cpu['cores']:g} cores {cpu['architecture']}, {properties['memory']} memory"


_SHOW = ("device", "show", DEVICE, "-o", "json")


def _components(deployment: Mapping[str, Any]) -> str:
    current = deployment["current"] or {"components": []}
    return ", ".join(f"{one['name']} {one['state']}" for one in current["components"])


def _shown(word: str, world: World) -> str:
    """Return a word of a command line as a person would type it: the id by its beginning, paths from here."""
    if word.startswith("ewt1."):
        return "TOKEN"
    if word == world.deployment:
        return word[:8]
    shown = word.replace(f"{world.folder}/", "")
    return shown if re.fullmatch(r"[\w@%+=:,./-]+", shown) else f"'{shown}'"


def _remove_deployments(world: World) -> None:
    """Remove whatever is left of the application on the engine; the agent has ended by now.

    The server is asked what there is, because the demo may have been interrupted before it learned an id.
    """
    listed = run_edgewright(("deployment", "list", "-o", "json"), world.environment, timeout=COMMAND_SECONDS)
    known = [one["id"] for one in msgspec.json.decode(listed)]
    left = find_leavings(world.engine, {*known, world.deployment} - {""}, world.registry)
    remove_leavings(world.engine, left)


def _remove_images(engine: Engine, registry: str) -> None:
    remove_leavings(engine, find_leavings(engine, [], registry))
