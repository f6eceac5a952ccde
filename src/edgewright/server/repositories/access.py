"""What opens repositories on Git servers of somebody else's: a file each, for the server's user alone.

    repositories/<client id>.credentials

It is never shown again. `git` gets it in files of a folder that is there as long as it runs, so that nothing
of it is in the arguments or the environment of a process. What goes over HTTPS is bound to the repository's
address and sent nowhere else.
"""

import base64
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgewright.net.git.config import quoted, ssh_command
from edgewright.net.git.url import FILE, HTTPS, NOWHERE, SSH, RepositoryUrl, RepositoryUrlError
from edgewright.server.errors import Fault, InvalidError, SetupError
from edgewright.server.settings import write_private

DEFAULT_MINUTES: Final = 5
MOST_MINUTES: Final = 24 * 60
_SUFFIX: Final = ".credentials"
_STAGED: Final = ".access-"
_LONGEST: Final = 64 * 1024
# What is asked for beside the credentials.
_BESIDE: Final = frozenset({"ca", "proxy", "minutes"})
_PROXY: Final = re.compile(r"http://([^/@\s]+@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}/?")


class How(StrEnum):
    """How this server shows who it is."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    CERTIFICATE = "certificate"
    SSH = "ssh"


NEEDED: Final[Mapping[How, Sequence[str]]] = {
    How.NONE: (),
    How.BASIC: ("username", "password"),
    How.BEARER: ("token",),
    How.CERTIFICATE: ("certificate", "key"),
    How.SSH: ("ssh_key", "known_hosts"),
}
"""Which members of an `Access` each way takes, all of them."""


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to get at one repository; `ca`, `certificate`, `key` and `ssh_key` are PEM.

    `known_hosts` are lines as ssh keeps them, `proxy` a URL that may hold a name and a password. `minutes` is
    how often is asked for news, `webhook` what its Git server shows when it tells of some.
    """

    how: How = How.NONE
    username: str | None = None
    password: str | None = None
    token: str | None = None
    certificate: str | None = None
    key: str | None = None
    ssh_key: str | None = None
    known_hosts: str | None = None
    ca: str | None = None
    proxy: str | None = None
    minutes: int = DEFAULT_MINUTES
    webhook: str | None = None

    def __repr__(self) -> str:
        return f"<Access {self.how}>"

    def redacted(self, text: str) -> str:
        """Return what a program said, without any secret that got into it."""
        secrets = [self.password, self.token, self.proxy, self.webhook, *_proxy_secrets(self)]
        if self.how is How.BASIC:
            secrets.append(_basic(self))
        for secret in secrets:
            if secret and len(secret) > 3:
                text = text.replace(secret, "…")
        return text


class AccessFiles:
    """The files of all clients in the data directory's `repositories`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, client_id: str, access: Access) -> None:
        """Have `access` be what opens the client's repository from now on."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_private(self._path(client_id), msgspec.json.encode(access))

    def load(self, client_id: str) -> Access:
        """Return what opens the client's repository; raises `SetupError` where that is gone or damaged."""
        path = self._path(client_id)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Access)
        except (OSError, msgspec.DecodeError) as error:
            raise SetupError(
                f"{path.name} in the data directory: {error}; give the repository its credentials again"
            ) from error

    def forget(self, client_id: str) -> None:
        """Delete what opens the client's repository."""
        self._path(client_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete what a server left that was cut off."""
        for path in self._folder.glob(f"{_STAGED}*"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def opened(self, url: str, access: Access) -> Iterator[Path]:
        """Lay out what `git` needs to get at `url`, and name its configuration file, while the block runs."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_STAGED, dir=self._folder) as folder:
            yield _lay_out(Path(folder), RepositoryUrl(url), access)

    def _path(self, client_id: str) -> Path:
        return self._folder / f"{client_id}{_SUFFIX}"


def checked_url(url: str) -> str:
    """Return the address of a repository; raises `InvalidError` for what none of ours could talk to."""
    try:
        parts = RepositoryUrl(url)
    except RepositoryUrlError as error:
        raise InvalidError(
            "the repository cannot be reached like this", Fault(field="url", message=str(error))
        ) from error
    if parts.scheme in {FILE, NOWHERE}:
        message = "expected https:// or ssh://: the device has to reach it as well"
        raise InvalidError("the repository cannot be reached like this", Fault(field="url", message=message))
    return url


def checked(url: str, access: Access) -> Access:
    """Return `access` if it has what it takes and fits `url`; raises `InvalidError` with every fault."""
    faults = [
        Fault(field=name if name in _BESIDE else f"credentials.{name}", message=message)
        for name, message in _faults(RepositoryUrl(url).scheme, access)
    ]
    if faults:
        raise InvalidError("the credentials cannot be used", *faults)
    return access


def _faults(scheme: str, access: Access) -> Iterator[tuple[str, str]]:
    needed = NEEDED[access.how]
    if (access.how is How.SSH) != (scheme == SSH):
        yield "how", "an ssh address takes ssh, an https address anything but ssh"
    for name in ("username", "password", "token", "certificate", "key", "ssh_key", "known_hosts"):
        value = getattr(access, name)
        if name in needed and not value:
            yield name, f"is needed for {access.how}"
        elif value and name not in needed:
            yield name, f"has no use for {access.how}"
        elif value and len(value) > _LONGEST:
            yield name, f"is longer than {_LONGEST} characters"
    for name in ("username", "password", "token"):
        value = getattr(access, name)
        if value and not value.isprintable():
            yield name, "expected one line of printable characters"
    if access.username and ":" in access.username:
        yield "username", "must not have a colon"
    if access.token and not (access.token.isascii() and " " not in access.token):
        yield "token", "expected letters of ASCII without blanks"
    yield from _certificate_faults(access)
    if access.ssh_key and (fault := _ssh_key_fault(access.ssh_key)):
        yield "ssh_key", fault
    if access.ca is not None:
        if scheme == SSH:
            yield "ca", "has no use for ssh, where known_hosts says whom to trust"
        elif not _is_certificates(access.ca):
            yield "ca", "expected certificates as PEM"
    if access.proxy is not None:
        if scheme == SSH:
            yield "proxy", "has no use for ssh"
        elif access.proxy.startswith("https://"):
            yield (
                "proxy",
                "one that itself is spoken to by TLS is not used; give its http:// port. What goes through it"
                " is encrypted for the Git server in any case, its password is not",
            )
        elif not _PROXY.fullmatch(access.proxy):
            yield "proxy", "expected http://[name:password@]host:port"
    if not 1 <= access.minutes <= MOST_MINUTES:
        yield "minutes", f"expected 1 to {MOST_MINUTES}"


def _certificate_faults(access: Access) -> Iterator[tuple[str, str]]:
    if not (access.certificate and access.key):
        return
    try:
        certificate = x509.load_pem_x509_certificates(access.certificate.encode())[0]
    except ValueError:
        yield "certificate", "expected a certificate as PEM"
        return
    try:
        key = serialization.load_pem_private_key(access.key.encode(), password=None)
    except TypeError:
        yield "key", "is encrypted; give it without a password"
        return
    except ValueError:
        yield "key", "expected a private key as PEM"
        return
    if key.public_key() != certificate.public_key():
        yield "key", "is not that of the certificate"


def _ssh_key_fault(text: str) -> str | None:
    try:
        serialization.load_ssh_private_key(text.encode(), password=None)
    except TypeError:
        return "is encrypted; give it without a password"
    except Exception:
        try:
            serialization.load_pem_private_key(text.encode(), password=None)
        except TypeError:
            return "is encrypted; give it without a password"
        except Exception:
            return "expected a private key as ssh-keygen makes it"
    return None


def _is_certificates(text: str) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False


def _lay_out(folder: Path, url: RepositoryUrl, access: Access) -> Path:
    """Write all files that `git` needs into `folder`; return its configuration."""

    def file(name: str, content: str) -> str:
        path = folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
            opened.write(content if content.endswith("\n") else f"{content}\n")
        return str(path)

    if url.scheme == SSH:
        command = ssh_command(
            file("key", access.ssh_key or ""), file("known_hosts", access.known_hosts or "")
        )
        return Path(file("config", _section("core", {"sshCommand": command})))
    if url.scheme != HTTPS:
        return Path(file("config", _section("safe", {"directory": url.path})))
    settings = {"sslVerify": "true", "sslVersion": "tlsv1.2", "proxy": access.proxy or ""}
    if access.proxy:
        settings["proxyAuthMethod"] = "basic"
    if access.ca:
        settings["sslCAInfo"] = file("ca.pem", access.ca)
    if access.how is How.CERTIFICATE:
        settings |= {
            "sslCert": file("cert.pem", access.certificate or ""),
            "sslKey": file("key.pem", access.key or ""),
        }
    shown = authorization(access)
    if shown:
        settings["extraHeader"] = f"Authorization: {shown}"
    return Path(file("config", _section(f'http "{quoted(url.text)}"', settings)))


def authorization(access: Access) -> str:
    """Return the value of the Authorization header, a secret; empty where none is sent."""
    if access.how is How.BASIC:
        return f"Basic {_basic(access)}"
    return f"Bearer {access.token}" if access.how is How.BEARER else ""


def proxy_authorization(access: Access) -> str:
    """Return the value of the Proxy-Authorization header, a secret; empty where none is sent."""
    user = urlsplit(access.proxy or "").netloc.rpartition("@")[0]
    return f"Basic {base64.b64encode(unquote(user).encode()).decode('ascii')}" if user else ""


def _proxy_secrets(access: Access) -> list[str]:
    user = urlsplit(access.proxy or "").netloc.rpartition("@")[0]
    password = user.partition(":")[2]
    return [password, unquote(password), proxy_authorization(access).removeprefix("Basic ")]


def shown_proxy(access: Access) -> str | None:
    """Return the proxy without name and password."""
    if access.proxy is None:
        return None
    parts = urlsplit(access.proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _basic(access: Access) -> str:
    return base64.b64encode(f"{access.username}:{access.password}".encode()).decode("ascii")


def _section(name: str, settings: dict[str, str]) -> str:
    return f"[{name}]\n" + "".join(f'\t{key} = "{quoted(value)}"\n' for key, value in settings.items())
