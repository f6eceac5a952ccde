"""Which invitation opens what, and for whom (docs/decisions/0005)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edgewright.server.errors import EnrollmentRefusedError
from edgewright.server.fleet.membership import judge
from edgewright.server.store.enrollments import Enrollment

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OPEN = Enrollment(
    id=1,
    client_id="edge-01",
    secret_digest="",
    created=NOW,
    expires=NOW + timedelta(hours=1),
    used=None,
    key_digest=None,
    svid=None,
    withdrawn=None,
)
USED = replace(OPEN, used=NOW, key_digest="sha256:aa", svid="the SVID")


@pytest.mark.requirement("ON-2")
def test_an_open_invitation_gets_its_first_svid() -> None:
    assert judge(OPEN, "sha256:aa", NOW) is None


def test_the_same_key_gets_the_same_svid_again_until_the_end() -> None:
    assert judge(USED, "sha256:aa", OPEN.expires - timedelta(seconds=1)) == "the SVID"


@pytest.mark.requirement("ID-24")
@pytest.mark.parametrize(
    ("invitation", "key", "moment", "told"),
    [
        pytest.param(None, "sha256:aa", NOW, "unknown token", id="unknown"),
        pytest.param(OPEN, "sha256:aa", OPEN.expires, "expired token", id="expired"),
        pytest.param(USED, "sha256:aa", OPEN.expires, "expired token", id="expired for its user too"),
        pytest.param(USED, "sha256:bb", NOW, "used token", id="used with another key"),
        pytest.param(replace(OPEN, withdrawn=NOW), "sha256:aa", NOW, "withdrawn token", id="withdrawn"),
        pytest.param(replace(USED, withdrawn=NOW), "sha256:aa", NOW, "withdrawn token", id="user retired"),
    ],
)
def test_all_others_are_refused_with_the_reason(
    invitation: Enrollment | None, key: str, moment: datetime, told: str
) -> None:
    with pytest.raises(EnrollmentRefusedError, match=told):
        judge(invitation, key, moment)
