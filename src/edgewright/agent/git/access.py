"""How this device gets at its Git repository: where that is, and what it shows there to be let in.

The identity directory has `git.json`, which holds nothing secret, and beside it files that only the agent's
user may read, whichever of them are needed: `git-password`, `git-token`, `git-cert.pem` and `git-key.pem`,
`git-ssh-key`, `git-proxy-password`; and what to trust: `git-ca.pem`, `git-known-hosts`, `signers`. A device
that shows a certificate and has none of its own for this shows its SVID.

How it came here is in `enrolling.py`, how the `git` program is told of it in `configuration.py`.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import base64
import json
import os
from collections.abc import Iterator
from contextlib import suppress

from edgewright.agent.talk.session import CERTIFICATE, GIT_ACCESS, KEY
from edgewright.net.git.url import NOWHERE, RepositoryUrl, RepositoryUrlError
from edgewright.protocol.errors import EdgewrightError

OPEN, BASIC, BEARER, BY_CERTIFICATE, BY_SSH_KEY = "none", "basic", "bearer", "certificate", "ssh"
KINDS = (OPEN, BASIC, BEARER, BY_CERTIFICATE, BY_SSH_KEY)

PASSWORD, TOKEN, PROXY_PASSWORD = "git-password", "git-token", "git-proxy-password"
CLIENT_CERTIFICATE, CLIENT_KEY, AUTHORITY = "git-cert.pem", "git-key.pem", "git-ca.pem"
SSH_KEY, KNOWN_HOSTS, SIGNERS = "git-ssh-key", "git-known-hosts", "signers"
FILES = (
    GIT_ACCESS,
    PASSWORD,
    TOKEN,
    PROXY_PASSWORD,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    AUTHORITY,
    SSH_KEY,
    KNOWN_HOSTS,
    SIGNERS,
)

DEFAULT_MINUTES = 30.0
_HIDDEN = "…"
_LIMIT = 1024 * 1024
_HIDDEN_FROM = 4
"""Shorter ones are hidden nowhere: half of every message would be."""


class AccessError(EdgewrightError):
    """What tells how to get at the repository is missing or damaged; names the file."""

    code = "git.bad-access"


class GitAccess:
    """One device's way to its repository. `minutes` is how long one fetch or push may take at most.

    `proxy` is `http://[user@]host:port` or empty; its password is in a file like every other.
    """

    __slots__ = ("directory", "kind", "minutes", "proxy", "url", "username")

    def __init__(
        self,
        directory: str,
        *,
        url: RepositoryUrl,
        kind: str,
        username: str = "",
        proxy: str = "",
        minutes: float = DEFAULT_MINUTES,
    ) -> None:
        self.directory = directory
        self.url = url
        self.kind = kind
        self.username = username
        self.proxy = proxy
        self.minutes = minutes

    @classmethod
    def load(cls, directory: str) -> "GitAccess | None":
        """Return what the identity in `directory` says, None without a repository; raises AccessError."""
        path = os.path.join(directory, GIT_ACCESS)
        try:
            with open(path, encoding="utf-8") as file:
                data = file.read(_LIMIT)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise AccessError(f"{path}: {error}") from error
        return cls.parse(data, directory)

    @classmethod
    def parse(cls, data: str, directory: str) -> "GitAccess":
        """Read what `render` made; `directory` has the files beside it. Raises AccessError."""
        path = os.path.join(directory, GIT_ACCESS)
        try:
            settings = json.loads(data)
            auth = settings["auth"]
            access = cls(
                directory,
                url=RepositoryUrl(str(settings["url"])),
                kind=str(auth["kind"]),
                username=str(auth.get("username", "")),
                proxy=str(settings.get("proxy", "")),
                minutes=float(settings.get("minutes", DEFAULT_MINUTES)),
            )
        except RepositoryUrlError as error:
            raise AccessError(f"{path}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            again = "set it anew with 'edgewright agent transport git --git URL'"
            raise AccessError(f"{path}: damaged ({error!r}); {again}") from error
        if access.kind not in KINDS:
            raise AccessError(f"{path}: auth kind {access.kind!r} is none of {', '.join(KINDS)}")
        return access

    def render(self) -> bytes:
        """Return `git.json`; nothing in it is secret."""
        auth = {"kind": self.kind, "username": self.username} if self.username else {"kind": self.kind}
        settings: dict[str, object] = {"url": self.url.text, "auth": auth}
        if self.proxy:
            settings["proxy"] = self.proxy
        if self.minutes != DEFAULT_MINUTES:
            settings["minutes"] = self.minutes
        return json.dumps(settings, indent=2).encode("utf-8") + b"\n"

    @property
    def is_offline(self) -> bool:
        """Whether there is no server to ask: the repository comes by bundles alone."""
        return self.url.scheme == NOWHERE

    def file(self, name: str) -> str:
        """Return the path of the file `name` beside `git.json`."""
        return os.path.join(self.directory, name)

    @property
    def signers_file(self) -> str:
        """The path of who may sign the first commit that is taken up."""
        return self.file(SIGNERS)

    @property
    def authority(self) -> str:
        """The path of the authority of the server's certificate; empty where the system's are trusted."""
        return self.file(AUTHORITY) if os.path.exists(self.file(AUTHORITY)) else ""

    @property
    def certificate(self) -> tuple[str, str] | None:
        """The paths of the certificate that is shown and its key, None where none is."""
        if self.kind != BY_CERTIFICATE:
            return None
        if os.path.exists(self.file(CLIENT_CERTIFICATE)):
            return self.file(CLIENT_CERTIFICATE), self.file(CLIENT_KEY)
        return self.file(CERTIFICATE), self.file(KEY)

    def authorization(self) -> str:
        """Return the value of the Authorization header, secret; empty where none is sent."""
        if self.kind == BASIC:
            return f"Basic {_base64(f'{self.username}:{self._secret(PASSWORD)}')}"
        return f"Bearer {self._secret(TOKEN)}" if self.kind == BEARER else ""

    def proxy_authorization(self) -> str:
        """Return the value of the proxy's Proxy-Authorization header, secret; empty where none is sent."""
        user = self._proxy_parts()[0]
        return f"Basic {_base64(f'{user}:{self._secret(PROXY_PASSWORD)}')}" if user else ""

    @property
    def proxy_url(self) -> str:
        """The proxy without its user: `http://host:port`, empty where there is none."""
        return f"http://{self._proxy_parts()[1]}" if self.proxy else ""

    def proxy_with_password(self) -> str:
        """Return the proxy's address with its user and password, secret; empty where there is no proxy."""
        user, place = self._proxy_parts()
        if not user:
            return self.proxy_url
        return f"http://{_percent(user)}:{_percent(self._secret(PROXY_PASSWORD))}@{place}"

    def redact(self, text: str) -> str:
        """Return `text` without any secret of this access that may have got into it."""
        secrets: list[str] = []
        with suppress(AccessError):  # what cannot be read was not told either
            secrets.extend(self._secrets())
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    def _proxy_parts(self) -> tuple[str, str]:
        """Return the user and the `host:port` of the proxy."""
        user, _, place = self.proxy.partition("://")[2].rstrip("/").rpartition("@")
        return user, place

    def _secret(self, name: str) -> str:
        path = self.file(name)
        try:
            with open(path, encoding="utf-8") as file:
                secret = file.read(_LIMIT).rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise AccessError(f"{path}: {reason}") from error
        if not secret or any(char < " " or char == "\x7f" for char in secret):
            raise AccessError(f"{path}: it is empty or has more than one line")
        return secret

    def _secrets(self) -> Iterator[str]:
        for name in (PASSWORD, TOKEN, PROXY_PASSWORD):
            if os.path.exists(self.file(name)):
                secret = self._secret(name)
                yield from (each for each in (secret, _percent(secret)) if len(each) >= _HIDDEN_FROM)
        if self.kind == BASIC:
            yield self.authorization().partition(" ")[2]
        if self._proxy_parts()[0]:
            yield self.proxy_authorization().partition(" ")[2]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _percent(text: str) -> str:
    """Return `text` for the user part of an address; by hand, as urllib.parse is too much for the watch."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode("utf-8"))
