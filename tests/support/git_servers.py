"""Git servers of others: nginx with `git http-backend`, OpenSSH, and dulwich, on free ports of loopback.

    with Nginx(repositories, authority) as nginx:
        access = nginx.access("basic", "edge-01")     # url, words for `agent enroll`, secrets
        nginx.requests()                              # what was asked so far

Each serves the bare repositories of one directory (`NAME.git`) and runs as whoever runs the tests. None has
a port of its own: nginx listens on unix sockets behind a `Proxy`, sshd is started for each connection, so
that no two tests can want the same. The programs are those that `tools/bootstrap test` brings.
"""

import base64
import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from support.certificates import EXPIRED, Authority, Issued
from support.processes import own_environment, start, stop, tail, wait_until
from support.proxies import ConnectProxy, Proxy
from support.testbed import TOOLS

GATEWAYS = 3  # requests that git http-backend works on at once
KINDS = ("none", "basic", "bearer", "certificate")
WAYS = (
    *(f"nginx {kind}" for kind in KINDS),
    *(f"dulwich {kind}" for kind in ("none", "basic", "bearer")),
    "ssh",
    "path",
    "file",
    "proxy",
    "proxy with-a-password",
)
USERNAME, PASSWORD, TOKEN = "edge-01", "correct:horse battery", "tok3n.for_edge-01~x"


@dataclass(frozen=True, slots=True)
class Access:
    """How a device gets at its repository: options of `agent enroll --git URL`, and what nobody may see."""

    url: str
    words: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()

    def all_words(self) -> list[str]:
        """All of it as options of `agent enroll`."""
        return ["--git", self.url, *self.words]


class Credentials:
    """Files with what a device shows, right or wrong, below one directory."""

    def __init__(self, directory: Path, authority: Authority, *, name: str = USERNAME) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._authority = authority
        self._name = name

    def ca(self, authority: Authority | None = None) -> tuple[str, ...]:
        """The option that makes `authority` trusted: by default the tests' own."""
        used = authority or self._authority
        return "--ca", self._write(f"ca-{len(list(self._directory.iterdir()))}.pem", used.pem)

    def basic(self, password: str = PASSWORD) -> tuple[str, ...]:
        """The options of a user name with a password."""
        return "--username", self._name, "--password-file", self._write("password", password.encode())

    def bearer(self, token: str = TOKEN) -> tuple[str, ...]:
        """The options of a token."""
        return "--token-file", self._write("token", token.encode())

    def certificate(self, issued: Issued | None = None) -> tuple[str, ...]:
        """The options of a client certificate: by default one of the tests' own authority."""
        files = (issued or self._authority.client(client=self._name)).write(self._directory, "client")
        return "--certificate", str(files.certificate), "--key", str(files.key)

    def proxy(self, url: str) -> tuple[str, ...]:
        """The options of a proxy, whose password is taken out of `url` into a file."""
        parts = urlsplit(url)
        if parts.password is None:
            return "--proxy", url
        shown = url.replace(f":{parts.password}@", "@")
        file = self._write("proxy-password", parts.password.encode())
        return "--proxy", shown, "--proxy-password-file", file

    def _write(self, name: str, data: bytes) -> str:
        path = self._directory / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(data)
        return str(path)


class Nginx:
    """nginx with TLS before `git http-backend` (fcgiwrap), as people set it up.

    `/none/`, `/basic/`, `/bearer/` and, on another port, `/certificate/` lead to the same repositories, each
    with its own kind of credentials. Beside them: `/moved/` redirects, `/busy/` is overloaded, `/html/`
    answers with a page. `url(…, port="expired")` has an expired certificate, "foreign" one of somebody else.
    """

    def __init__(self, repositories: Path, authority: Authority) -> None:
        self.repositories = repositories
        self.authority = authority
        # Short, because sockets lie in it.
        self.directory = Path(tempfile.mkdtemp(prefix="edgewright-nginx-"))
        self.credentials = Credentials(self.directory / "credentials", authority)
        self.ways: dict[str, Proxy] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for way in self.ways.values():
            way.__exit__()
        for process in reversed(self._processes):
            stop(process)
        shutil.rmtree(self.directory)

    def url(self, place: str, name: str, *, port: str | None = None) -> str:
        """Return the URL of repository `name` at `place`; `port` is that of the place unless given."""
        way = self.ways[port or ("certificate" if place == "certificate" else "web")]
        return f"https://{way.host}/{place}/{name}.git"

    def access(self, kind: str, name: str, *, port: str | None = None) -> Access:
        """Return the right credentials of `kind` for repository `name`."""
        words, secrets = self.shown(kind)
        return Access(self.url(kind, name, port=port), (*words, *self.credentials.ca()), secrets)

    def shown(self, kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the options with the right credentials of `kind`, and the secrets in them."""
        match kind:
            case "basic":
                packed = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
                return self.credentials.basic(), (PASSWORD, packed)
            case "bearer":
                return self.credentials.bearer(), (TOKEN,)
            case "certificate":
                words = self.credentials.certificate()
                body = Path(words[3]).read_text().splitlines()[1]
                return words, (body,)
            case _:
                return (), ()

    def requests(self) -> list[str]:
        """Return what was asked so far: method, path, status and bytes of each request."""
        return (self.directory / "access.log").read_text().splitlines()

    def wait_for_requests(self, count: int, containing: str = "") -> None:
        """Return after `count` more requests."""

        def asked() -> int:
            return sum(containing in line for line in self.requests())

        wanted = asked() + count
        wait_until(lambda: asked() >= wanted, what=f"{count} more requests {containing}")

    def _start(self) -> None:
        here = self.directory
        # Single ones, each of which ends with us: the children that one with many has would stay.
        for number in range(GATEWAYS):
            gateway = here / f"gateway-{number}.sock"
            self._run([str(TOOLS / "fcgiwrap"), "-c", "1", "-s", f"unix:{gateway}"], gateway)
        (here / "nginx.conf").write_text(self._configuration())
        (here / "access.log").touch()
        self._run([str(TOOLS / "nginx"), "-p", str(here), "-c", str(here / "nginx.conf")], here / "web.sock")
        for port in ("web", "certificate", "expired", "foreign"):
            self.ways[port] = Proxy(str(here / f"{port}.sock"))

    def _run(self, command: list[str], listens: Path) -> None:
        log = self.directory / "programs.log"
        process = start(command, log=log, environment=own_environment(GIT_CONFIG_NOSYSTEM="1"))
        self._processes.append(process)
        wait_until(
            lambda: _answers(listens),
            what=f"{command[0]} listens: {tail(log)}",
            alive=lambda: process.poll() is None,
        )

    def _configuration(self) -> str:
        here = self.directory
        web = self.authority.web_server().write(here / "tls", "web")
        expired = self.authority.issue(names=["127.0.0.1"], common_name="web", **EXPIRED).write(
            here / "tls", "expired"
        )
        foreign = (
            Authority.create("example.net", name="Somebody Else").web_server().write(here / "tls", "foreign")
        )
        (here / "tls" / "ca.pem").write_bytes(self.authority.pem)
        hashed = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        (here / "users").write_text(f"{USERNAME}:{{SHA}}{hashed}\n")
        backend = Path(_printed("git", "--exec-path")) / "git-http-backend"
        git = f"""
            client_max_body_size 0; fastcgi_buffering off; fastcgi_pass gateways;
            fastcgi_param SCRIPT_FILENAME {backend};
            fastcgi_param GIT_PROJECT_ROOT "{self.repositories}"; fastcgi_param GIT_HTTP_EXPORT_ALL "";
            fastcgi_param PATH_INFO $1; fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param REMOTE_USER device;
            fastcgi_param GIT_PROTOCOL $http_git_protocol; fastcgi_param HTTP_AUTHORIZATION "";"""
        places = f"""
            location ~ ^/none(/.*)$ {{ {git} }}
            location ~ ^/basic(/.*)$ {{ auth_basic git; auth_basic_user_file {here}/users; {git} }}
            location ~ ^/bearer(/.*)$ {{
                if ($is_known = 0) {{ add_header WWW-Authenticate Bearer always; return 401; }} {git} }}
            location ~ ^/moved(/.*)$ {{ return 302 /none$1$is_args$args; }}
            location ~ ^/busy/ {{ add_header Retry-After 7200 always; return 503 busy; }}
            location ~ ^/html/ {{ default_type text/html; return 200 "<html>Please sign in</html>"; }}"""
        user = "user root;" if os.getuid() == 0 else ""
        paths = "".join(
            f"{kind}_temp_path {here}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )

        gateways = "".join(f"server unix:{here}/gateway-{each}.sock;" for each in range(GATEWAYS))

        def server(name: str, files: Any, more: str) -> str:
            return f"""
            server {{ listen unix:{here}/{name}.sock ssl; ssl_certificate {files.certificate};
                ssl_certificate_key {files.key}; keepalive_timeout 600; {more} }}"""

        return f"""
        daemon off; master_process on; worker_processes 1; pid {here}/nginx.pid; {user}
        error_log {here}/error.log info;
        events {{ worker_connections 256; }}
        http {{ log_format short '$request_method $request_uri $status $bytes_sent "$http_git_protocol"';
            access_log {here}/access.log short; {paths}
            upstream gateways {{ least_conn; {gateways} }}
            map $http_authorization $is_known {{ default 0; "Bearer {TOKEN}" 1; }}
            {server("web", web, places)}
            {server("expired", expired, places)}
            {server("foreign", foreign, places)}
            {
            server(
                "certificate",
                web,
                f"ssl_client_certificate {here}/tls/ca.pem; ssl_verify_client on; ssl_verify_depth 3;"
                f"location ~ ^/certificate(/.*)$ {{ {git} }}",
            )
        } }}"""


class Sshd:
    """OpenSSH's server, which lets one key in and lets it do nothing but Git (`git-shell`).

    A process of sshd answers each connection. As root it runs where it sees a `/etc/passwd` of ours: it wants
    a user of its own (`sshd`), which a machine without the server does not have.
    """

    def __init__(self, repositories: Path) -> None:
        self.repositories = repositories
        self.directory = Path(tempfile.mkdtemp(prefix="edgewright-sshd-"))
        self.log = self.directory / "sshd.log"
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._is_over = False

    def __enter__(self) -> Self:
        for name in ("host", "device", "stranger"):
            command = [
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                name,
                "-f",
                f"{self.directory}/{name}",
            ]
            subprocess.run(command, check=True, capture_output=True)
        restricted = 'restrict,command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"" '
        allowed = restricted + (self.directory / "device.pub").read_text()
        (self.directory / "authorized_keys").write_text(allowed)
        (self.directory / "sshd_config").write_text(self._configuration())
        (self.directory / "passwd").write_text(
            "root:x:0:0:root:/:/bin/sh\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
        )
        (self.directory / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n")
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_over = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for process in self._sessions:
            stop(process)
        shutil.rmtree(self.directory)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def sessions(self) -> int:
        """How many connections there were."""
        return len(self._sessions)

    def url(self, name: str) -> str:
        """Return the URL of repository `name`."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{self.repositories}/{name}.git"

    def access(self, name: str, *, key: str = "device", host: str = "host") -> Access:
        """Return how to get at repository `name`: by the right key, or that of the "stranger"."""
        known = self.directory / f"known_hosts-{host}"
        kind, public = (self.directory / f"{host}.pub").read_text().split()[:2]
        known.write_text(f"[127.0.0.1]:{self.port} {kind} {public}\n")
        words = ("--ssh-key", str(self.directory / key), "--known-hosts", str(known))
        body = (self.directory / key).read_text().splitlines()[2]
        return Access(self.url(name), words, (body,))

    def _configuration(self) -> str:
        lines = [
            f"HostKey {self.directory}/host",
            f"AuthorizedKeysFile {self.directory}/authorized_keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "AcceptEnv GIT_PROTOCOL",
            "LogLevel VERBOSE",
            f"PidFile {self.directory}/pid",
        ]
        # Newer releases have parts of the server in programs of their own, and look for them in /usr.
        inside = TOOLS.parent / "openssh-server" / "usr" / "lib" / "openssh"
        for option, program in (("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")):
            if (inside / program).exists():
                lines.append(f"{option} {inside / program}")
        return "\n".join(lines) + "\n"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, self._lock:
                if self._is_over:
                    return
                self._sessions.append(self._session(connection))

    def _session(self, connection: socket.socket) -> "subprocess.Popen[bytes]":
        server = f"{TOOLS}/sshd -i -f {self.directory}/sshd_config -E {self.log}"
        command = ["sh", "-c", f"exec {server}"]
        if os.getuid() == 0:
            mounts = (
                f"mount --bind {self.directory}/passwd /etc/passwd && "
                f"mount --bind {self.directory}/shadow /etc/shadow && "
                "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd"
            )
            command = ["unshare", "--mount", "sh", "-c", f"{mounts} && exec {server}"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                stderr=log,
                env=own_environment(),
                start_new_session=True,
            )


class Dulwich:
    """The server of dulwich, a Git in Python: it speaks protocol version 0 alone.

    With TLS, and the kinds "none", "basic" and "bearer" by the first part of the path. It takes no push from
    a clone that lacks history (`shallow` lines in the request).
    """

    def __init__(self, repositories: Path, authority: Authority) -> None:
        self.repositories = repositories
        self.directory = Path(tempfile.mkdtemp(prefix="edgewright-dulwich-"))
        self.log = self.directory / "dulwich.log"
        self.credentials = Credentials(self.directory / "credentials", authority)
        self.port = 0
        self._authority = authority
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        packed = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        files = self._authority.web_server().write(self.directory, "web")
        port_file = self.directory / "port"
        settings = {
            "repositories": str(self.repositories),
            "certificate": str(files.certificate),
            "key": str(files.key),
            "port_file": str(port_file),
            "wanted": {"basic": f"Basic {packed}", "bearer": f"Bearer {TOKEN}"},
        }
        # In a file: what is looked for in arguments must not be there for another reason.
        path = self.directory / "settings.json"
        path.write_text(json.dumps(settings))
        program = str(Path(__file__).with_name("dulwich_server.py"))
        process = start(
            [sys.executable, "-I", program, str(path)], log=self.log, environment=own_environment()
        )
        self._process = process
        wait_until(
            port_file.exists, what=f"dulwich listens: {tail(self.log)}", alive=lambda: process.poll() is None
        )
        self.port = int(port_file.read_text())
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            stop(self._process)
        shutil.rmtree(self.directory)

    def url(self, kind: str, name: str) -> str:
        """Return the URL of repository `name` with credentials of `kind`."""
        return f"https://127.0.0.1:{self.port}/{kind}/{name}.git"

    def access(self, kind: str, name: str) -> Access:
        """Return the right credentials of `kind` for repository `name`."""
        words = {"basic": self.credentials.basic, "bearer": self.credentials.bearer}.get(kind, tuple)()
        secrets = {"basic": (PASSWORD,), "bearer": (TOKEN,)}.get(kind, ())
        return Access(self.url(kind, name), (*words, *self.credentials.ca()), secrets)

    def requests(self) -> list[str]:
        """Return what was asked so far."""
        return [line for line in self.log.read_text().splitlines() if '"' in line]


@contextmanager
def opened(way: str, repositories: Path, authority: Authority, name: str) -> Iterator[Access]:
    """Open the server of one of the `WAYS` and yield how a device gets at repository `name` there."""
    server, _, kind = way.partition(" ")
    with ExitStack() as stack:
        match server:
            case "nginx":
                yield stack.enter_context(Nginx(repositories, authority)).access(kind, name)
            case "dulwich":
                yield stack.enter_context(Dulwich(repositories, authority)).access(kind, name)
            case "ssh":
                yield stack.enter_context(Sshd(repositories)).access(name)
            case "path":
                yield Access(f"{repositories}/{name}.git")
            case "file":
                yield Access(f"file://{repositories}/{name}.git")
            case "proxy":
                password = "0pen.sesame" if kind else None
                proxy = stack.enter_context(ConnectProxy(credentials=f"site:{password}" if kind else None))
                nginx = stack.enter_context(Nginx(repositories, authority))
                access = nginx.access("basic", name)
                words = (*access.words, *nginx.credentials.proxy(proxy.url))
                yield Access(access.url, words, (*access.secrets, *([password] if password else [])))
                assert set(proxy.asked) == {access.url.split("/")[2]}
            case _:
                raise ValueError(f"{way}: expected one of {', '.join(WAYS)}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return True


def _printed(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
