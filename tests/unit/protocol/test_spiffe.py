import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.errors import IdentityError
from edgewright.protocol.spiffe import (
    SpiffeId,
    check_segment,
    check_trust_domain,
    client_id,
    expected_wfm,
    parse_client,
    parse_wfm,
    wfm_id,
)

segments = st.text(string.ascii_letters + string.digits + ".-_", min_size=1, max_size=40).filter(
    lambda text: text not in {".", ".."}
)
trust_domains = st.text(string.ascii_lowercase + string.digits + ".-_", min_size=1, max_size=60)


@pytest.mark.requirement("ID-1", "ID-2", "ID-8")
@given(trust_domains, segments, segments)
def test_identities_read_back_as_what_they_were_made_of(domain, wfm, client):
    assert str(wfm_id(domain, wfm)) == f"spiffe://{domain}/margo/wfm/{wfm}"
    assert str(client_id(domain, wfm, client)) == f"spiffe://{domain}/margo/wfm/{wfm}/client/{client}"
    assert parse_wfm(SpiffeId.parse(str(wfm_id(domain, wfm)))) == wfm
    assert parse_client(SpiffeId.parse(str(client_id(domain, wfm, client)))) == (wfm, client)


@pytest.mark.requirement("ID-12")
@given(trust_domains, segments, segments)
def test_a_client_expects_the_manager_named_in_its_own_identity(domain, wfm, client):
    assert expected_wfm(client_id(domain, wfm, client)) == wfm_id(domain, wfm)


@pytest.mark.requirement("ID-7")
def test_identities_that_differ_in_case_are_two():
    assert wfm_id("example.org", "Main") != wfm_id("example.org", "main")
    assert len({wfm_id("a", "x"), wfm_id("a", "x"), wfm_id("b", "x")}) == 2
    assert wfm_id("a", "x") != "spiffe://a/margo/wfm/x"


@pytest.mark.requirement("ID-3")
@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a~b", "a b", "ä", "a%41", "a\n"])
def test_segments_outside_the_alphabet_are_refused(text):
    with pytest.raises(IdentityError):
        check_segment(text)


@pytest.mark.requirement("ID-10")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "https://example.org/margo",
        "SPIFFE://example.org/a",
        "spiffe://Example.org/a",
        "spiffe://user@example.org/a",
        "spiffe://example.org:443/a",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org/",
        "spiffe://example.org//a",
        "spiffe://example.org/a/",
        "spiffe://example.org/a/../b",
        "spiffe://" + "a" * 256 + "/b",
        "spiffe://example.org/" + "a" * 2048,
    ],
)
def test_what_is_no_spiffe_id_is_refused(text):
    with pytest.raises(IdentityError):
        SpiffeId.parse(text)


def test_a_trust_domain_alone_is_an_identity_without_a_path():
    assert SpiffeId.parse("spiffe://example.org").path == ""
    assert check_trust_domain("example.org") == "example.org"


@pytest.mark.requirement("ID-11")
@pytest.mark.parametrize(
    "text",
    [
        "spiffe://d/margo/wfm/main",
        "spiffe://d/margo/wfm/main/client",
        "spiffe://d/margo/wfm/main/client/a/b",
        "spiffe://d/margo/device/a",
        "spiffe://d/other/wfm/main/client/a",
    ],
)
def test_other_shapes_are_no_clients(text):
    with pytest.raises(IdentityError):
        parse_client(SpiffeId.parse(text))


@pytest.mark.requirement("ID-12")
@pytest.mark.parametrize("text", ["spiffe://d/margo/wfm/main/client/a", "spiffe://d/margo/wfm", "spiffe://d"])
def test_other_shapes_are_no_managers(text):
    with pytest.raises(IdentityError):
        parse_wfm(SpiffeId.parse(text))


@given(st.text(max_size=300))
def test_any_text_is_an_identity_or_refused_with_our_error(text):
    try:
        identity = SpiffeId.parse("spiffe://" + text)
    except IdentityError:
        return
    assert str(identity) == "spiffe://" + text
    assert repr(identity) == f"SpiffeId({str(identity)!r})"
