"""`server.yaml` and the other files of a data directory: where they are, what they say.

A data directory belongs to one server and holds all of it:

    server.yaml       what a person may edit: names, listeners, addresses
    edgewright.db     everything the server knows (SQLite)
    identity/         keys and certificates, readable by the server's user alone
    registries.yaml   optional: how to reach OCI registries
    sources/          credentials of package sources, readable by the server's user alone
    repositories/     Git repositories of devices, and what opens those on other servers
    operator.json     how the operator's command line reaches this server; a secret
    run.json          while the server runs: its process id and its addresses
"""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from edgewright.protocol import yaml
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.spiffe import check_segment, check_trust_domain
from edgewright.server.domain.roles import Role
from edgewright.server.errors import SetupError

HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on; port 0 lets the system choose a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Read `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (all addresses); raises `SetupError`."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise SetupError(f"listen address '{text}': an IPv6 address needs brackets, as in [::]:443")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise SetupError(f"listen address '{text}': expected HOST:PORT, as in 0.0.0.0:443")
        return cls(host or "0.0.0.0", int(port))  # noqa: S104 - said by the person who left the host out

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where people sign in who do not have a password here: an OpenID Connect provider.

    `role_claim` is the claim that lists a person's groups, `roles` maps groups to roles, and `default_role`
    is for who is in none of them; without one they are not let in. `name` is what the button says.
    """

    issuer: str
    client_id: str
    client_secret_file: str | None = None
    ca_file: str | None = None
    name: str = "single sign-on"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    role_claim: str | None = None
    roles: dict[str, Role] = msgspec.field(default_factory=dict)
    default_role: Role | None = None


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `server.yaml` says. Addresses left out are made from the first of `hosts` and the ports.

    Repositories are hosted here only where `git_listen` says where.
    `held_polls` is how many polls may wait for a change at once; None lets the machine's memory decide.
    """

    trust_domain: str
    wfm_id: str = "main"
    hosts: tuple[str, ...]
    device_listen: str = "0.0.0.0:443"
    web_listen: str = "0.0.0.0:8443"
    git_listen: str | None = None
    device_url: str | None = None
    web_url: str | None = None
    git_url: str | None = None
    held_polls: int | None = None
    oidc: OidcSettings | None = None


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The paths inside one data directory."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "server.yaml"

    @property
    def database(self) -> Path:
        return self.root / "edgewright.db"

    @property
    def identity(self) -> Path:
        return self.root / "identity"

    @property
    def registries(self) -> Path:
        return self.root / "registries.yaml"

    @property
    def sources(self) -> Path:
        return self.root / "sources"

    @property
    def repositories(self) -> Path:
        # Git's programs are started in folders of their own.
        return self.root.absolute() / "repositories"

    @property
    def operator(self) -> Path:
        return self.root / "operator.json"

    @property
    def run(self) -> Path:
        return self.root / "run.json"


def check_settings(settings: ServerSettings) -> ServerSettings:
    """Return `settings` if every name, host, address and URL in it can be used; raises `SetupError`."""
    try:
        check_trust_domain(settings.trust_domain)
    except EdgewrightError as error:
        raise SetupError(str(error)) from error
    try:
        check_segment(settings.wfm_id)
    except EdgewrightError as error:
        raise SetupError(f"WFM id: {error}") from error
    if not settings.hosts:
        raise SetupError("hosts: expected at least one name or IP address by which devices reach this server")
    for host in settings.hosts:
        _check_host(host)
    Listen.parse(settings.device_listen)
    Listen.parse(settings.web_listen)
    if settings.git_listen is not None:
        Listen.parse(settings.git_listen)
    for url in (settings.device_url, settings.web_url, settings.git_url):
        if url is not None:
            _check_url(url)
    if settings.held_polls is not None and settings.held_polls < 0:
        raise SetupError("held_polls: expected 0 (no poll waits for a change) or more")
    if settings.oidc is not None:
        _check_oidc(settings.oidc)
    return settings


def load_settings(directory: DataDirectory) -> ServerSettings:
    """Read and check `server.yaml`; raises `SetupError` naming the file and what to do."""
    path = directory.settings
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SetupError(
            f"{directory.root} holds no server ({path.name} is missing):"
            " make one with 'edgewright server init'"
        ) from error
    try:
        return check_settings(msgspec.convert(yaml.load(content, source=str(path)), ServerSettings))
    except msgspec.ValidationError as error:
        raise SetupError(f"{path}: {error}") from error
    except SetupError as error:
        raise SetupError(f"{path}: {error}") from error


def render_settings(settings: ServerSettings) -> bytes:
    """Return the text of `server.yaml`; what is not set is left out."""
    members = {key: value for key, value in msgspec.to_builtins(settings).items() if value is not None}
    return yaml.dump(members)


def web_address(settings: ServerSettings) -> str:
    """Return where people and programs reach the web listener, as far as the settings say."""
    return settings.web_url or url_of(settings.hosts[0], Listen.parse(settings.web_listen).port)


def url_of(host: str, port: int) -> str:
    """Return the HTTPS URL of `host` and `port`, without the port where it is the standard one."""
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}" if port == HTTPS_PORT else f"https://{name}:{port}"


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step, durably, readable by its owner alone."""
    staged = path.with_name(f".{path.name}.new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        if len(host) > 253 or not re.fullmatch(rf"{label}(\.{label})*", host):
            raise SetupError(f"host '{host}': expected a DNS name or an IP address, without a port") from None


def _check_oidc(oidc: OidcSettings) -> None:
    parts = urlsplit(oidc.issuer)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise SetupError(f"oidc.issuer: '{oidc.issuer}': expected https:// and the provider's name")
    if "openid" not in oidc.scopes:
        raise SetupError("oidc.scopes: expected openid among them")
    if oidc.roles and oidc.role_claim is None:
        raise SetupError("oidc.roles: expected oidc.role_claim beside it, which says where the groups are")
    if oidc.default_role is None and not oidc.roles:
        raise SetupError(
            "oidc: nobody could sign in; say oidc.role_claim and oidc.roles, or oidc.default_role"
        )


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if (
        parts.scheme != "https"
        or not parts.hostname
        or parts.path.rstrip("/")
        or parts.query
        or parts.fragment
    ):
        raise SetupError(f"URL '{url}': expected https://HOST or https://HOST:PORT")
