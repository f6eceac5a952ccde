"""The testbed: engines and registries, started once and shared by every test worker and by the demo.

`open_testbed` starts one and takes it down again; its description is a JSON file whose path is in the
environment variable EDGEWRIGHT_TESTBED. Everything it writes lies in one directory of its own under
/var/tmp (not /tmp, which may be memory, and short, because sockets lie in it). A lock held for its whole
life tells a living testbed from the leavings of a killed one, which the next start removes.
"""

import dataclasses
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import trustme

from support import engines
from support.engines import Engine, EngineApi, EngineRefusedError, Parts
from support.images import RegistryAccess, busybox_image, push
from support.processes import StartError
from support.registry import PASSWORD, USERNAME, Registry

VARIABLE = "EDGEWRIGHT_TESTBED"
ROOT = Path(f"/var/tmp/edgewright-testbed-{os.getuid()}")
TOOLS = Path(__file__).parents[2] / ".cache" / "tools" / "bin"
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Testbed:
    """What runs for the tests: `engines` by name; `missing` tells of a part by name why it is not there."""

    __test__ = False

    pid: int  # the process that holds it
    directory: str  # where everything it writes lies; gone when it ends
    busybox: str  # path of a static busybox
    docker_registry: str  # path of the registry program, for tests that stop and start one of their own
    engines: dict[str, Engine]
    registry: RegistryAccess  # plain, on loopback
    secured_registry: RegistryAccess | None  # TLS and password, on a bridge
    missing: dict[str, str]

    def render(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def parse(cls, text: str) -> "Testbed":
        fields: dict[str, Any] = json.loads(text)
        secured = fields.pop("secured_registry")
        return cls(
            engines={name: Engine(**engine) for name, engine in fields.pop("engines").items()},
            registry=_access(fields.pop("registry")),
            secured_registry=_access(secured) if secured else None,
            **fields,
        )

    @classmethod
    def from_environment(cls) -> "Testbed | None":
        """Return the testbed this process was started in, or None."""
        path = os.environ.get(VARIABLE)
        return cls.parse(Path(path).read_text()) if path else None


def _access(fields: dict[str, Any]) -> RegistryAccess:
    return RegistryAccess(**fields | {"trusted_by": tuple(fields["trusted_by"])})


@contextmanager
def open_testbed(wanted: tuple[str, ...], *, all_of_them: bool) -> Iterator[Testbed]:
    """Start a registry and the engines `wanted`: all of them, or the first that can be had.

    An engine that cannot be had is named in `missing`; StartError only when nothing at all works.
    """
    remove_leavings()
    with ExitStack() as stack:
        directory = stack.enter_context(_own_directory())
        authority = trustme.CA()
        authorities = _trusted_authorities(directory, authority)
        registry = Registry(_tool("docker-registry"), directory / "registry")
        registry.start()
        stack.callback(registry.stop)
        parts = Parts(
            directory=directory,
            compose=_tool("docker-compose"),
            certificates=authorities,
            loopback_registry=registry.host,
        )
        found: dict[str, Engine] = {}
        missing: dict[str, str] = {}
        trial_image = _push_trial_image(registry.access)
        for name in wanted:
            if found and not all_of_them:
                break
            try:
                found[name] = stack.enter_context(_engine(name, parts, trial_image))
            except StartError as error:
                missing[name] = str(error)
        if not found:
            raise StartError("no container engine works here:\n" + "\n".join(missing.values()))
        secured = _secured_registry(stack, directory, authority, found)
        if secured is None:
            missing["secured_registry"] = "needs the bridge of a Docker"
        hosts = tuple(access.host for access in (registry.access, secured) if access)
        for engine in found.values():
            if not engine.private:
                stack.callback(engines.remove_pulled_from, engine, hosts)
        yield Testbed(
            pid=os.getpid(),
            directory=str(directory),
            busybox=_tool("busybox"),
            docker_registry=_tool("docker-registry"),
            engines=found,
            registry=registry.access,
            secured_registry=secured,
            missing=missing,
        )


def _tool(name: str) -> str:
    path = TOOLS / name
    if not path.exists():
        raise StartError(f"{path} is missing; run: tools/bootstrap test")
    return str(path.resolve())


def _engine(name: str, parts: Parts, trial_image: str) -> Any:
    def trial(socket_path: str) -> None:
        api = EngineApi(socket_path)
        api.pull(trial_image)
        code = api.run(trial_image, ["true"])
        if code != 0:
            raise EngineRefusedError(f"a container running `true` ended with {code}")

    return {"docker": engines.docker, "podman": engines.podman}[name](parts, trial)


def _push_trial_image(registry: RegistryAccess) -> str:
    image = busybox_image(Path(_tool("busybox")), command=["true"])
    push(image, registry, "testbed/trial", "1")
    return f"{registry.host}/testbed/trial:1"


def _trusted_authorities(directory: Path, authority: trustme.CA) -> Path:
    """Write the authorities private engines trust: this machine's, and the testbed's own."""
    path = directory / "authorities.pem"
    system = Path(os.environ.get("SSL_CERT_FILE", SYSTEM_AUTHORITIES))
    path.write_bytes((system.read_bytes() if system.exists() else b"") + authority.cert_pem.bytes())
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    return path


def _secured_registry(
    stack: ExitStack, directory: Path, authority: trustme.CA, found: dict[str, Engine]
) -> RegistryAccess | None:
    """Start the registry with TLS and a password on the address of Docker's bridge.

    Not on loopback: there engines do not insist on a certificate, and nothing would be proved.
    """
    if "docker" not in found:
        return None
    address = engines.bridge_address(found["docker"])
    certificate = authority.issue_cert(address)
    chain, key = directory / "registry.pem", directory / "registry.key"
    certificate.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    registry = Registry(
        _tool("docker-registry"), directory / "secured", address=address, certificate=(chain, key)
    )
    registry.start()
    stack.callback(registry.stop)
    return RegistryAccess(
        host=registry.host,
        ca=str(directory / "ca.pem"),
        username=USERNAME,
        password=PASSWORD,
        trusted_by=tuple(name for name, engine in found.items() if engine.private),
    )


# --- Directories and leavings -----------------------------------------------------------------------


@contextmanager
def _own_directory() -> Iterator[Path]:
    ROOT.mkdir(mode=0o700, exist_ok=True)
    # Letters and digits only: the name is also containerd's namespace.
    directory = ROOT / f"t{uuid.uuid4().hex[:8]}"
    directory.mkdir(mode=0o700)
    with _locked(directory):
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _try_lock(directory: Path) -> TextIO | None:
    held = (directory / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    held = _try_lock(directory)
    if held is None:
        raise StartError(f"{directory} is in use")
    with held:
        yield


def remove_leavings() -> None:
    """Remove what killed testbeds left: their containers, processes, mounts and files."""
    for directory in ROOT.glob("t*") if ROOT.exists() else []:
        held = _try_lock(directory)
        if held is None:
            continue
        with held:
            for name in ("docker", "podman"):
                engines.sweep(directory, name)
            shutil.rmtree(directory, ignore_errors=True)
