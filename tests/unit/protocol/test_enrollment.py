import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.enrollment import EnrollmentAnswer, EnrollmentRequest, EnrollmentToken
from edgewright.protocol.errors import DocumentError

PIN = base64.b64encode(b"p" * 32).decode()
SECRET = base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")
TOKEN = EnrollmentToken(url="https://wfm.example:8443", pin=PIN, secret=SECRET)


def encode(value):
    return "ewt1." + base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_token_survives_being_copied_as_one_line(pin, secret):
    token = EnrollmentToken(
        url="https://192.0.2.1:8443",
        pin=base64.b64encode(pin).decode(),
        secret=base64.urlsafe_b64encode(secret).decode().rstrip("="),
    )
    assert EnrollmentToken.parse(f"  {token.render()}\n") == token
    assert token.render().startswith("ewt1.")
    assert "=" not in token.render()
    assert not set(token.render()) & set(" \n'\"\\$")


def test_tokens_made_by_the_published_recipe_are_read():
    assert EnrollmentToken.parse(encode({"u": TOKEN.url, "p": PIN, "s": SECRET})) == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "ewt2.AAAA",
        "ewt1.",
        "ewt1.!!!!",
        TOKEN.render()[:-3],
        TOKEN.render() + "x y",
        encode([]),
        encode({"u": TOKEN.url, "p": PIN}),
        encode({"u": "http://wfm.example", "p": PIN, "s": SECRET}),
        encode({"u": TOKEN.url, "p": "short", "s": SECRET}),
        encode({"u": TOKEN.url, "p": PIN, "s": "short"}),
    ],
)
def test_other_texts_are_refused_without_repeating_them(text):
    with pytest.raises(DocumentError) as caught:
        EnrollmentToken.parse(text)
    assert caught.value.source == "enrolment token"
    assert len(text) < 6 or text[5:] not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_secrets_stay_out_of_what_gets_logged():
    request = EnrollmentRequest(token=SECRET, csr="-----BEGIN", device_id="edge-01")
    assert SECRET not in repr(TOKEN) + repr(request)
    assert json.loads(request.render()) == {"token": SECRET, "csr": "-----BEGIN", "deviceId": "edge-01"}


def test_requests_and_answers_read_back():
    request = EnrollmentRequest(token=SECRET, csr="x")
    answer = EnrollmentAnswer(
        client_id="edge-01", svid="pem", trust_bundle="{}", server_url="https://wfm.example"
    )
    assert EnrollmentRequest.parse(request.render()) == request
    assert EnrollmentAnswer.parse(answer.render()) == answer
    assert json.loads(answer.render()).keys() == {"clientId", "svid", "trustBundle", "serverUrl"}
