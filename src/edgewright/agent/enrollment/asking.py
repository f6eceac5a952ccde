"""Enrolment without a token: the device asks to be let in, and a person compares its key's fingerprint.

The key is kept until the decision, so that the same command goes on where it was after a restart. Each
question is the whole request again: whoever else sent it would get a certificate for a key they do not have.
"""

import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edgewright import __version__
from edgewright.agent import backoff
from edgewright.agent.enrollment import identity
from edgewright.agent.enrollment.enroll import install_answer, pending_key, pending_key_path
from edgewright.agent.enrollment.identity import Material
from edgewright.agent.enrollment.pinning import pinned_context
from edgewright.agent.paths import Paths
from edgewright.agent.talk.answers import RefusalError, pause_after, retry_after
from edgewright.net.http import CertificateError, Client, HttpError, NoTlsError, Response
from edgewright.net.tls import server_auth_context
from edgewright.protocol import media_types
from edgewright.protocol.enrollment import Admission, AdmissionRequest, EnrollmentAnswer
from edgewright.protocol.errors import EdgewrightError, IdentityError
from edgewright.protocol.spiffe import check_segment

_TIMEOUT_SECONDS = 30.0
_PIN = re.compile(r"[A-Za-z0-9+/]{43}=")
# Without a word of the server's.
_PAUSE_SECONDS = 15.0
_SHORTEST_PAUSE = 1.0


class RejectedError(EdgewrightError):
    """A person has turned the request down."""

    code = "enrollment.rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Where to ask and under which name; the server is known by its authorities in `ca`, or by `pin`."""

    server: str
    name: str
    ca: str | None
    pin: str | None

    def check(self) -> None:
        """Raise IdentityError for what can be seen to be wrong before anybody is asked."""
        try:
            check_segment(self.name)
        except IdentityError as error:
            raise IdentityError(f"--name: {error}") from None
        if self.pin is not None and not _PIN.fullmatch(self.pin):
            raise IdentityError("--pin: expected 44 characters of base64, as the enrolment page shows them")
        if not self.server.startswith("https://"):
            raise IdentityError(f"--server: {self.server!r}: expected the https:// address of its pages")

    def context(self) -> ssl.SSLContext:
        """Return what the server is checked by; for a pin it has to be there."""
        if self.pin is not None:
            return pinned_context(self.server, self.pin)
        return server_auth_context(cafile=self.ca)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The decision is open; `pause` is the seconds until it may be asked for again, `trouble` what kept
    the server from answering.
    """

    pause: float
    trouble: str = ""


class Asker:
    """One device that asks one server; `ask` may be called again and again, also after a restart."""

    def __init__(self, paths: Paths, wish: Wish, *, device_id: str | None, replace: bool) -> None:
        identity.refuse_replacing(paths, replace=replace)
        wish.check()
        if wish.ca is not None:
            server_auth_context(cafile=wish.ca)  # raises for a file that is of no use
        paths.make()
        self._paths, self._wish = paths, wish
        self._device_id, self._replace = device_id, replace
        self._path = pending_key_path(paths, f"asked {wish.server.rstrip('/')}")
        self._key = pending_key(self._path)
        self.key_digest = identity.digest_of_key(self._key)
        self._context: ssl.SSLContext | None = None
        self._failures = 0

    def ask(self) -> Material | Waiting:
        """Ask once: return the identity that was installed, or that it has to be waited.

        Raises RejectedError when a person said no, and other errors for what no waiting mends.
        """
        try:
            response = self._exchange()
        except (CertificateError, NoTlsError):
            raise
        except HttpError as error:
            return self._in_trouble(error)
        if response.status == 202:
            self._failures = 0
            Admission.parse(response.body, source=f"the answer of {self._wish.server}")
            asked = retry_after(response, time.time())
            pause = backoff.spread(_PAUSE_SECONDS if asked is None else asked, backoff.jitter())
            return Waiting(pause=max(pause, _SHORTEST_PAUSE))
        if response.status == 201:
            answer = EnrollmentAnswer.parse(response.body, source=f"the answer of {self._wish.server}")
            return install_answer(
                self._paths, answer, self._key, device_id=self._device_id, replace=self._replace
            )
        if response.status == 200:
            told = Admission.parse(response.body, source=f"the answer of {self._wish.server}")
            if told.state == "rejected":
                self._forget_key()
                raise RejectedError(_rejection(told.reason))
        return self._refused(response)

    def _exchange(self) -> Response:
        if self._context is None:
            self._context = self._wish.context()
        request = AdmissionRequest(
            name=self._wish.name,
            csr=identity.make_request(self._key, self._wish.name),
            hostname=socket.gethostname()[:255],
            agent_version=__version__,
        )
        with Client(self._wish.server.rstrip("/"), context=self._context, timeout=_TIMEOUT_SECONDS) as client:
            return client.request(
                "POST",
                media_types.ADMISSION_PATH,
                headers=[("content-type", media_types.JSON), ("accept", media_types.JSON)],
                body=request.render(),
            )

    def _refused(self, response: Response) -> Waiting:
        error = RefusalError(response, "asking to be let in", time.time())
        if error.retryable:
            return self._in_trouble(error)
        if error.status == 403:
            self._forget_key()
        raise error

    def _in_trouble(self, error: EdgewrightError) -> Waiting:
        self._failures += 1
        pause = pause_after(error, self._failures, backoff.jitter())
        return Waiting(pause=max(pause, _SHORTEST_PAUSE), trouble=str(error))

    def _forget_key(self) -> None:
        """Begin with another key next time: this one was turned down."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)


def wait_for_decision(
    asker: Asker, tell: Callable[[Waiting, float], None], *, sleep: Callable[[float], None] = time.sleep
) -> Material:
    """Ask until there is a decision; `tell` hears each answer that is none, and how long it was waited."""
    began = time.monotonic()
    while True:
        answer = asker.ask()
        if isinstance(answer, Material):
            return answer
        tell(answer, time.monotonic() - began)
        sleep(answer.pause)


def _rejection(reason: str) -> str:
    printable = "".join(each if each.isprintable() else "?" for each in reason)
    told = f": {printable}" if printable else ""
    return f"this device was turned down{told} (the same command asks anew, with another key)"
