"""What the fleet manager's refusals say: problem details and Retry-After (spec: 13, RT-1 to RT-6).

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import json
from datetime import UTC, datetime

from edgewright.agent import backoff
from edgewright.net.http import Response
from edgewright.protocol.errors import EdgewrightError

NOT_AUTHORIZED = "https://docs.margo.org/specification/problem-types#not-authorized"
BLANK = "about:blank"

_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_FOR_ALL = frozenset({429, 503})
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONGEST_SECONDS = 24 * 3600.0  # a server that asks for more is asked again after a day


class RefusalError(EdgewrightError):
    """The fleet manager answered with an error.

    `problem_type` decides, not the status (spec: ERR-3). `retry_after` is in seconds or None, the
    header outranking the body; `fixed` says that the wait is not to grow (spec: RT-4, RT-5).
    """

    code = "server.refused"

    def __init__(self, response: Response, what: str, now: float) -> None:
        problem = _problem(response)
        self.status = response.status
        self.problem_type = _text(problem.get("type")) or BLANK
        self.title = _text(problem.get("title")) or response.reason
        self.detail = _text(problem.get("detail"))
        stated = problem.get("retryable")
        self.retryable = stated if isinstance(stated, bool) else response.status in _RETRYABLE_STATUSES
        self.retry_after = retry_after(response, now)
        if self.retry_after is None:
            self.retry_after = _seconds(problem.get("retryAfterSeconds"))
        self.fixed = problem.get("backoffStrategy") == "fixed"
        words = ": ".join(word for word in (self.title, self.detail, _errors(problem)) if word)
        super().__init__(f"{what}: {self.status} {words}".rstrip())

    @property
    def is_for_all(self) -> bool:
        """Whether the wait asked for concerns whatever would be asked, not this request alone."""
        return self.status in _FOR_ALL and self.retry_after is not None

    @property
    def is_not_authorized(self) -> bool:
        """Whether the fleet manager does not want to know this client (any more)."""
        return self.problem_type == NOT_AUTHORIZED or (self.problem_type == BLANK and self.status == 403)


def pause_after(error: EdgewrightError, failures: int, jitter: float) -> float:
    """Return the seconds until what failed with `error` (`failures` times in a row) may be tried again."""
    if not isinstance(error, RefusalError):
        return backoff.pause(failures, jitter)
    if not error.retryable and error.retry_after is None:
        return backoff.pause(
            1, jitter, first=backoff.NOT_RETRYABLE_SECONDS, ceiling=backoff.NOT_RETRYABLE_SECONDS
        )
    return backoff.pause(failures, jitter, at_least=error.retry_after, fixed=error.fixed)


def _problem(response: Response) -> dict[str, object]:
    """Return the members of a problem body; whatever is not one has none (spec: ERR-3)."""
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _text(value: object) -> str:
    return value[:500] if isinstance(value, str) else ""


def _errors(problem: dict[str, object]) -> str:
    listed = problem.get("errors")
    if not isinstance(listed, list):
        return ""
    pairs = [each for each in listed[:5] if isinstance(each, dict)]
    return "; ".join(f"{_text(each.get('field'))}: {_text(each.get('message'))}" for each in pairs)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return min(float(value), _LONGEST_SECONDS)


def retry_after(response: Response, now: float) -> float | None:
    """Return the seconds a Retry-After header asks for, counted from the answer's own `Date`, else `now`."""
    header = response.headers.get("retry-after")
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_SECONDS)
    moment = http_date(text)
    if moment is None:
        return None
    sent = http_date(response.headers.get("date", ""))
    return min(max(moment - (now if sent is None else sent), 0.0), _LONGEST_SECONDS)


def http_date(text: str) -> float | None:
    """Return the unix seconds of an HTTP date (RFC 9110, 5.6.7), None when it is none."""
    try:
        _, day, month, year, clock, zone = text.split()
        hour, minute, second = (int(part) for part in clock.split(":"))
        moment = datetime(
            int(year), _MONTHS.index(month) + 1, int(day), hour, minute, min(second, 59), tzinfo=UTC
        )
    except ValueError:
        return None
    return moment.timestamp() if zone == "GMT" else None
