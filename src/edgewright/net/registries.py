"""How each registry is reached: the file `registries.yaml`, for components and images alike (OP-38).

hosts:
  "registry.example:5000":
    ca: registry-ca.pem            # trusted besides the system's; relative to this file
    username: robot
    password_file: robot.password  # or password
    plain_http: false              # true only on a network of one's own
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.protocol import yaml
from edgewright.protocol.errors import DocumentError

_KEYS = {"ca", "username", "password", "password_file", "plain_http"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How one registry is reached; neither `password` nor `token` ever shows in a repr.

    `ca` is a file of PEM certificates and `ca_pem` such text, trusted besides the system's. `token` is sent
    as it is, to the registry alone; `username` and `password` also to the token service it names. `where`
    tells a person where to change all this.
    """

    ca: str | None = None
    ca_pem: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    plain_http: bool = False
    where: str = "registries.yaml"


@dataclass(frozen=True, slots=True)
class Registries:
    """Settings by "host" or "host:port"; a registry nobody mentions is reached without credentials."""

    hosts: Mapping[str, RegistrySettings] = field(default_factory=dict)

    def settings(self, host: str) -> RegistrySettings:
        """Return the settings for `host`, written as in image references."""
        return self.hosts.get(host, RegistrySettings())


def load_registries(path: str) -> Registries:
    """Load `registries.yaml`; a file that is not there means that no registry needs settings."""
    file = Path(path)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return Registries()
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}", source=path) from error
    content = yaml.load(data, source=path)
    if content is None:
        return Registries()
    root = _mapping(content, path, "$", {"hosts"})
    hosts = _mapping(root.get("hosts") or {}, path, "$.hosts", None)
    return Registries({host: _settings(value, file, f"$.hosts[{host}]") for host, value in hosts.items()})


def _settings(value: object, file: Path, path: str) -> RegistrySettings:
    source = str(file)
    given = _mapping(value, source, path, _KEYS)
    texts = {key: _text(given, key, source, path) for key in ("ca", "username", "password", "password_file")}
    plain_http = given.get("plain_http", False)
    if not isinstance(plain_http, bool):
        raise DocumentError("expected true or false", source=source, path=f"{path}.plain_http")
    password = texts["password"]
    if texts["password_file"] is not None:
        if password is not None:
            raise DocumentError("give password or password_file, not both", source=source, path=path)
        password = _password(file.parent / texts["password_file"], source, path)
    if (texts["username"] is None) != (password is None):
        raise DocumentError("username and password belong together", source=source, path=path)
    ca = None if texts["ca"] is None else str(file.parent / texts["ca"])
    return RegistrySettings(ca=ca, username=texts["username"], password=password, plain_http=plain_http)


def _mapping(value: object, source: str, path: str, known: set[str] | None) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise DocumentError("expected a mapping", source=source, path=path)
    for key in value:
        if known is not None and key not in known:
            expected = ", ".join(sorted(known))
            raise DocumentError(f"unknown key; expected {expected}", source=source, path=f"{path}.{key}")
    return value


def _text(given: Mapping[str, object], key: str, source: str, path: str) -> str | None:
    value = given.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise DocumentError("expected text", source=source, path=f"{path}.{key}")
    return value


def _password(file: Path, source: str, path: str) -> str:
    try:
        text = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{file}: cannot be read as text ({error})"
        raise DocumentError(detail, source=source, path=f"{path}.password_file") from error
    if not text:
        raise DocumentError(f"{file}: is empty", source=source, path=f"{path}.password_file")
    return text
