"""One word for a device, over every contact and every state of its deployments."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.protocol.policy import Policy
from edgewright.server.domain.contact import (
    UNKNOWN_SECONDS,
    Contact,
    ContactState,
    announced,
    contact,
    stays,
)
from edgewright.server.domain.device_state import SEVERITY, Part, Word, device_state, last_said
from edgewright.server.domain.truth import Truth

NOW = 1_000_000.0
HERE = ContactState(word=Contact.IN_CONTACT)
ABSENT = {
    Contact.SILENT: Word.SILENT,
    Contact.PLANNED_SILENCE: Word.PLANNED_SILENCE,
    Contact.EXPECTED: Word.EXPECTED,
}
parts = st.lists(
    st.builds(Part, truth=st.sampled_from(Truth), since=st.none() | st.floats(0, NOW), until=st.none())
)


def part(truth: Truth, since: float | None = None, until: float | None = None) -> Part:
    return Part(truth=truth, since=since, until=until)


@pytest.mark.requirement("ST-25", "OFF-4")
@pytest.mark.parametrize(
    ("truths", "word"),
    [
        pytest.param([], Word.EMPTY, id="nothing is wanted"),
        pytest.param([Truth.REMOVED], Word.EMPTY, id="all is gone that was to go"),
        pytest.param([Truth.CONVERGED], Word.CONVERGED, id="it has what it is to have"),
        pytest.param([Truth.CONVERGED, Truth.REMOVED], Word.CONVERGED, id="what is gone means nothing"),
        pytest.param([Truth.WAITING], Word.BEHIND, id="it has not said a word about it"),
        pytest.param([Truth.BEHIND], Word.BEHIND, id="it has an older revision"),
        pytest.param([Truth.TAKING_UP], Word.TAKING_UP, id="it is at it"),
        pytest.param([Truth.REMOVING], Word.TAKING_UP, id="it is to remove something"),
        pytest.param([Truth.HELD], Word.HELD, id="its site holds it"),
        pytest.param([Truth.WAITING_FOR_APPROVAL], Word.WAITING_FOR_APPROVAL, id="a person is asked"),
        pytest.param([Truth.FAILED], Word.FAILED, id="it failed"),
        pytest.param([Truth.CONVERGED, Truth.TAKING_UP], Word.TAKING_UP, id="one is not there yet"),
        pytest.param([Truth.TAKING_UP, Truth.BEHIND], Word.BEHIND, id="one has not begun"),
        pytest.param([Truth.BEHIND, Truth.HELD], Word.HELD, id="one is held"),
        pytest.param(
            [Truth.HELD, Truth.WAITING_FOR_APPROVAL], Word.WAITING_FOR_APPROVAL, id="one can be said yes to"
        ),
        pytest.param([Truth.WAITING_FOR_APPROVAL, Truth.FAILED], Word.FAILED, id="one failed"),
    ],
)
def test_a_device_in_contact_is_what_most_needs_a_person(truths: list[Truth], word: Word) -> None:
    said = last_said([part(truth) for truth in truths])
    found = device_state(HERE, said, retired=None)
    assert (found.word, found.said) == (word, word)


@pytest.mark.requirement("ST-25")
def test_a_device_that_has_not_heard_of_a_removal_is_behind_and_not_at_it() -> None:
    said = last_said([Part(truth=Truth.REMOVING, since=5.0, is_heard=False)])
    assert (said.word, said.since) == (Word.BEHIND, 5.0)


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23")
@pytest.mark.parametrize("truth", Truth)
@pytest.mark.parametrize(("absent", "word"), ABSENT.items())
def test_what_was_said_last_is_no_state_while_nobody_speaks(
    truth: Truth, absent: Contact, word: Word
) -> None:
    said = last_said([part(truth, since=5.0)])
    found = device_state(ContactState(word=absent, since=7.0, until=9.0), said, retired=None)
    assert (found.word, found.said) == (word, said.word)
    assert (found.since, found.until) == (7.0, 9.0)


def test_nothing_is_said_of_a_device_that_never_spoke_or_is_retired() -> None:
    said = last_said([part(Truth.CONVERGED)])
    never = device_state(ContactState(word=Contact.NEVER), said, retired=None)
    assert (never.word, never.said, never.since) == (Word.NEVER, None, None)
    retired = device_state(None, said, retired=3.0)
    assert (retired.word, retired.said, retired.since) == (Word.RETIRED, None, 3.0)


def test_since_when_is_that_of_the_word() -> None:
    held = last_said([part(Truth.HELD, 5.0, 90.0), part(Truth.HELD, 3.0, 80.0), part(Truth.CONVERGED, 1.0)])
    assert (held.since, held.until) == (3.0, 80.0)
    # All of it is there since the last of it came.
    assert last_said([part(Truth.CONVERGED, 5.0), part(Truth.CONVERGED, 8.0)]).since == 8.0
    assert last_said([part(Truth.BEHIND, None), part(Truth.BEHIND, None)]).since is None


@given(parts=parts)
def test_every_device_has_a_word_and_it_is_the_worst(parts: list[Part]) -> None:
    alone = [last_said([one]).word for one in parts if one.truth is not Truth.REMOVED]
    assert last_said(parts).word == min(alone, key=SEVERITY.__getitem__, default=Word.EMPTY)


@given(
    parts=parts,
    last=st.floats(0, 2 * NOW),
    elapsed=st.floats(UNKNOWN_SECONDS, NOW),
)
def test_no_device_is_well_because_it_once_was(parts: list[Part], last: float, elapsed: float) -> None:
    found = contact(last, announced(None, is_clock_trusted=True), last + elapsed)
    assert device_state(found, last_said(parts), retired=None).word is Word.SILENT


POLICIES: list[dict[str, Any]] = [
    {},
    {"polling": {"periods": ["daily 06:00-22:00 Europe/Berlin"]}},
    {"polling": {"rate": "6h", "periods": ["Mon-Fri 22:00-04:00 Europe/Berlin"]}},
    {"downtime": ["1970-01-09 12:00 .. 1970-01-11 06:00 UTC"]},
    {
        "polling": {"periods": ["Sat 02:00-05:00 UTC", "Sun 02:00-03:00 UTC"]},
        "downtime": ["1970-01-10 00:00 .. 1970-01-20 00:00 UTC", "1970-02-01 00:00 .. 1970-02-02 00:00 UTC"],
    },
    {"polling": {"periods": ["1970-01-03 00:00 .. 1970-01-05 00:00 UTC"]}},
]


@pytest.mark.requirement("S-23")
@settings(deadline=None)  # a policy is worked out once, which takes long, and then kept
@given(
    policy=st.sampled_from(POLICIES),
    last=st.floats(5 * 86_400, 30 * 86_400),
    elapsed=st.floats(0, 30 * 86_400),
    part_of_it=st.floats(0, 0.999),
    deaf=st.none() | st.floats(5 * 86_400, 40 * 86_400),
    cut=st.none() | st.floats(0, 300),
)
def test_a_word_is_true_for_as_long_as_it_is_believed(
    policy: dict[str, Any],
    last: float,
    elapsed: float,
    part_of_it: float,
    deaf: float | None,
    cut: float | None,
) -> None:
    """What is kept for a device until `stays` is what would have been worked out at any moment of it."""
    expected = announced(Policy.from_plain(policy), is_clock_trusted=True)
    gaps = [] if deaf is None else [(deaf, deaf + 7_200)]
    now = last + elapsed
    if deaf is not None and now < deaf + 7_200:
        now = deaf + 7_200 + elapsed  # nobody works anything out before the server is there again
    broke = None if cut is None or last + cut > now else last + cut
    found = contact(last, expected, now, deaf=gaps, cut=broke)
    until = stays(found, last, expected, now, cut=broke)
    assert until > now
    later = now + part_of_it * (min(until, now + 40 * 86_400) - now)
    assert contact(last, expected, later, deaf=gaps, cut=broke) == found
