"""How it stands with a deployment, over every state, version and deletion (spec: ST-25)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.consent import Reason
from edgewright.protocol.status import State
from edgewright.server.domain.truth import Truth, truth

versions = st.integers(min_value=1, max_value=2**64 - 1)


@pytest.mark.requirement("ST-25")
@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        pytest.param(None, Truth.WAITING, id="never reported"),
        pytest.param((State.PENDING, 7), Truth.TAKING_UP, id="pending on the present revision"),
        pytest.param((State.INSTALLING, 7), Truth.TAKING_UP, id="installing the present revision"),
        pytest.param((State.INSTALLED, 7), Truth.CONVERGED, id="installed"),
        pytest.param((State.INSTALLED, 8), Truth.CONVERGED, id="installed, resynchronised later"),
        pytest.param((State.FAILED, 7), Truth.FAILED, id="failed on the present revision"),
        pytest.param((State.INSTALLED, 6), Truth.BEHIND, id="installed, but an older revision"),
        pytest.param((State.FAILED, 6), Truth.BEHIND, id="failed, but on an older revision"),
        pytest.param((State.REMOVED, 7), Truth.BEHIND, id="removed although it is wanted"),
    ],
)
def test_truth_of_what_is_wanted(reported: tuple[State, int] | None, expected: Truth) -> None:
    assert truth(7, reported, is_deleted=False) == expected


@pytest.mark.requirement("OP-19")
@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        pytest.param(None, Truth.REMOVING, id="never reported"),
        pytest.param((State.INSTALLED, 6), Truth.REMOVING, id="last heard of as installed"),
        pytest.param((State.REMOVING, 7), Truth.REMOVING, id="being removed"),
        pytest.param((State.REMOVED, 7), Truth.REMOVED, id="removed"),
        pytest.param((State.REMOVED, 6), Truth.REMOVED, id="removed, with the version it was installed by"),
        pytest.param((State.FAILED, 7), Truth.FAILED, id="removal failed"),
        pytest.param((State.FAILED, 6), Truth.REMOVING, id="had failed before it was deleted"),
    ],
)
def test_truth_of_what_is_deleted(reported: tuple[State, int] | None, expected: Truth) -> None:
    assert truth(7, reported, is_deleted=True) == expected


@pytest.mark.requirement("ST-25", "OFF-4", "S-25")
@pytest.mark.parametrize(
    ("reported", "is_deleted", "is_held"),
    [
        pytest.param(None, False, True, id="never reported"),
        pytest.param((State.PENDING, 7), False, True, id="pending on the present revision"),
        pytest.param((State.INSTALLED, 6), False, True, id="an older revision runs on"),
        pytest.param((State.FAILED, 6), False, True, id="an older revision failed"),
        pytest.param((State.INSTALLING, 6), False, True, id="an older revision is being installed"),
        pytest.param((State.INSTALLING, 7), False, False, id="it has begun"),
        pytest.param((State.INSTALLED, 7), False, False, id="it is done"),
        pytest.param((State.FAILED, 7), False, False, id="it has failed"),
        pytest.param((State.INSTALLED, 6), True, True, id="it runs on although it is not wanted"),
        pytest.param(None, True, True, id="deleted, never reported"),
        pytest.param((State.REMOVING, 7), True, False, id="its removal has begun"),
        pytest.param((State.REMOVED, 6), True, False, id="it is gone"),
        pytest.param((State.FAILED, 7), True, False, id="its removal has failed"),
    ],
)
def test_a_site_holds_back_what_has_not_begun(
    reported: tuple[State, int] | None, is_deleted: bool, is_held: bool
) -> None:
    plain = truth(7, reported, is_deleted=is_deleted)
    for reason in Reason:
        word = Truth.WAITING_FOR_APPROVAL if reason is Reason.APPROVAL else Truth.HELD
        found = truth(7, reported, is_deleted=is_deleted, held=reason)
        assert found == (word if is_held else plain)


@given(changed=versions, adopted=versions, state=st.sampled_from(State))
def test_only_an_installed_present_revision_is_converged(changed: int, adopted: int, state: State) -> None:
    converged = truth(changed, (state, adopted), is_deleted=False) == Truth.CONVERGED
    assert converged == (state == State.INSTALLED and adopted >= changed)


@given(changed=versions, adopted=versions, state=st.sampled_from(State))
def test_an_older_revision_is_behind_whatever_its_state(changed: int, adopted: int, state: State) -> None:
    if adopted < changed:
        assert truth(changed, (state, adopted), is_deleted=False) == Truth.BEHIND
