"""What request headers ask for: `Accept`, `If-None-Match` (RFC 9110) and `Prefer` (RFC 7240), as plain
decisions."""


def accepts(header: str | None, media_type: str) -> bool:
    """Return whether `Accept` allows `media_type`; without the header everything is allowed (spec: DS-4).

    The most specific range that matches decides; `q=0` refuses.
    """
    if header is None or not header.strip():
        return True
    best, allowed = -1, False
    for part in header.split(","):
        pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
        specificity = _specificity(pattern, media_type)
        if specificity > best:
            best, allowed = specificity, not _is_refused(parameters)
    return allowed


def matches_etag(header: str | None, etag: str) -> bool:
    """Return whether `If-None-Match` names `etag` (without quotes), or is `*` (spec: DS-6, DG-8).

    `W/` is ignored, as the comparison for this header is the weak one.
    """
    if header is None:
        return False
    candidates = [part.strip() for part in header.split(",")]
    return "*" in candidates or any(part.removeprefix("W/") == f'"{etag}"' for part in candidates)


def preferred_wait(header: str | None) -> int:
    """Return how many seconds `Prefer: wait=N` offers to wait, 0 for none.

    The first `wait` counts; a value that is no number is as if it were not there (RFC 7240, 2 and 4.3).
    """
    for part in (header or "").split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            digits = value.strip().strip('"')
            return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
    return 0


def _specificity(pattern: str, media_type: str) -> int:
    """Return how exactly `pattern` matches: 2 itself, 1 its main type, 0 everything, -1 not at all."""
    if pattern == media_type:
        return 2
    if pattern == f"{media_type.partition('/')[0]}/*":
        return 1
    return 0 if pattern == "*/*" else -1


def _is_refused(parameters: list[str]) -> bool:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value) == 0
            except ValueError:
                return False
    return False
