"""A real image registry: Debian's docker-registry on a port the kernel chose.

Plain on loopback, which container engines accept without being told, or with TLS and a password on
another address of this machine, because engines are lenient about loopback.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.images import RegistryAccess
from support.processes import StartError, own_environment, start, stop, tail, wait_until

USERNAME = "edgewright"
PASSWORD = "only-for-tests"
# bcrypt of PASSWORD, the one form docker-registry takes; made once, so that the tests need no bcrypt.
HTPASSWD = "edgewright:$2b$05$FFANBlizjOm4W1htAiptHOkJRVh.TGpS5S.3yiLk27TmNVGy0iu6K\n"

LISTENING = re.compile(r"listening on ([0-9.]+:[0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenService:
    """Who issues the tokens that a registry accepts; `bundle` is a file of the certificates it signs by."""

    realm: str
    service: str
    issuer: str
    bundle: Path


class Registry:
    """One docker-registry process with its data in `directory`; stopped and started again, it keeps both
    data and port."""

    def __init__(
        self,
        program: str,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        certificate: tuple[Path, Path] | None = None,
        tokens: TokenService | None = None,
    ) -> None:
        """`certificate` is the PEM files of chain and key; with one, TLS and a password are demanded.

        With `tokens` only bearers of a token of that service are let in.
        """
        self._program = program
        self._directory = directory
        self._certificate = certificate
        self._tokens = tokens
        self._log = directory / "registry.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.host = f"{address}:0"

    @property
    def access(self) -> RegistryAccess:
        return RegistryAccess(host=self.host)

    def start(self) -> None:
        """Start, and return when it listens; raises StartError with what the program said."""
        self._directory.mkdir(parents=True, exist_ok=True)
        configuration = self._directory / "config.yml"
        configuration.write_text(self._configuration())
        self._log.write_bytes(b"")
        # Its own environment: every variable named REGISTRY_… would be taken as configuration.
        self._process = start(
            [self._program, "serve", str(configuration)], log=self._log, environment=own_environment()
        )
        try:
            self.host = wait_until(
                self._listening, what="docker-registry did not listen", alive=self.is_running
            )
        except StartError as error:
            self.stop()
            raise StartError(f"{error}:\n{tail(self._log)}") from error

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)
            self._process = None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _listening(self) -> str | None:
        found = LISTENING.search(self._log.read_text(errors="replace"))
        return found.group(1) if found else None

    def _configuration(self) -> str:
        lines = [
            "version: 0.1",
            "log: {level: info, formatter: text}",
            "storage:",
            f"  filesystem: {{rootdirectory: {self._directory}/data}}",
            "  delete: {enabled: true}",
            "http:",
            f"  addr: {self.host}",
        ]
        if self._certificate is not None:
            chain, key = self._certificate
            passwords = self._directory / "htpasswd"
            passwords.write_text(HTPASSWD)
            lines += [
                f"  tls: {{certificate: {chain}, key: {key}}}",
                f"auth: {{htpasswd: {{realm: testbed, path: {passwords}}}}}",
            ]
        if self._tokens is not None:
            lines += [
                "auth:",
                "  token:",
                f"    realm: {self._tokens.realm}",
                f"    service: {self._tokens.service}",
                f"    issuer: {self._tokens.issuer}",
                f"    rootcertbundle: {self._tokens.bundle}",
            ]
        return "\n".join(lines) + "\n"
