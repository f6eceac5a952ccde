"""Where a repository is: `https://`, `ssh://` or `user@host:path`, `file://` or a path (spec: GR-38).

What is not one of these, above all `http://`, `git://` and `ext::`, is refused, and so are credentials within
the address: they would get into logs and into the arguments of processes.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import re

from edgewright.protocol.errors import EdgewrightError

HTTPS, SSH, FILE, NOWHERE = "https", "ssh", "file", "none"
NONE = "none:"
"""Of a repository that comes by bundles alone: there is no server to ask."""

_HTTPS = re.compile(
    r"https://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#]*)",
    re.ASCII,
)
_SSH = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)",
    re.ASCII,
)
_SCP = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):(?P<path>[^:].*)",
    re.ASCII,
)
_FORMS = "https://host/path, ssh://user@host/path, user@host:path, file:///path or /path"
_MOST_PORT = 65535


class RepositoryUrlError(EdgewrightError):
    """This is no address of a repository that this program talks to; never repeats a password in it."""

    code = "git.bad-url"


class RepositoryUrl:
    """An address taken apart: `scheme` is HTTPS, SSH, FILE or NOWHERE, `port` 0 where it is the usual one.

    `text` is the address as it was given, without anything secret; `path` begins with `/` except where a
    `user@host:path` is relative to the user's home.
    """

    __slots__ = ("host", "path", "port", "scheme", "text", "user")

    def __init__(self, text: str) -> None:
        self.text = text
        self.user, self.host, self.port, self.path = "", "", 0, ""
        if text == NONE:
            self.scheme = NOWHERE
            return
        _refuse_what_hurts(text)
        if text.startswith(("/", "file:///")):
            self.scheme, self.path = FILE, text.removeprefix("file://")
            return
        self.scheme = HTTPS if text.startswith("https://") else SSH
        match = _form(text).fullmatch(text)
        if match is None:
            raise RepositoryUrlError(f"{text!r}: expected {_FORMS}")
        found = match.groupdict()
        self.user, self.host = found.get("user") or "", found["host"].strip("[]")
        self.port, self.path = int(found.get("port") or 0), found["path"]
        if self.port > _MOST_PORT:
            raise RepositoryUrlError(f"{text!r}: there is no port {self.port}")
        if self.path.startswith("-"):
            raise RepositoryUrlError(f"{text!r}: a path must not begin with '-'")

    def __str__(self) -> str:
        return self.text


def _form(text: str) -> re.Pattern[str]:
    if text.startswith("https://"):
        return _HTTPS
    return _SSH if text.startswith("ssh://") else _SCP


def _refuse_what_hurts(text: str) -> None:
    if not text:
        raise RepositoryUrlError(f"the address of the repository is empty: expected {_FORMS}")
    scheme, separator, rest = text.partition("://")
    authority = rest.partition("/")[0]
    if separator and "@" in authority and (scheme != SSH or ":" in authority.rpartition("@")[0]):
        raise RepositoryUrlError(
            f"{scheme}://…@{authority.rpartition('@')[2]}: credentials do not belong into the address; "
            "give the user name and a file with the password beside it"
        )
    if any(not " " < char < "\x7f" for char in text) and not (text.startswith(("/", "file:///"))):
        raise RepositoryUrlError(f"{text!r}: there is a blank or a character beyond ASCII in it")
    if any(char < " " or char == "\x7f" for char in text):
        raise RepositoryUrlError(f"{text!r}: there is a control character in it")
    if separator and scheme == FILE and authority:
        raise RepositoryUrlError(f"{text!r}: file:// names no host; expected file:///path")
    if separator and scheme not in (HTTPS, SSH, FILE):
        raise RepositoryUrlError(f"{text!r}: {scheme}:// is not spoken; expected {_FORMS}")
    if "::" in text.partition("/")[0]:
        raise RepositoryUrlError(f"{text!r}: remote helpers are not used; expected {_FORMS}")
