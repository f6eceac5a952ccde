import socket
import ssl

import pytest

from edgewright.net.http import (
    BadAnswerError,
    CertificateError,
    HttpError,
    NoTlsError,
    Origin,
    UrlError,
    explain,
)
from edgewright.net.wire import TooLargeError, WireError


@pytest.mark.parametrize(
    ("url", "name", "header", "prefix"),
    [
        ("https://example.org", "example.org:443", "example.org", ""),
        ("https://example.org:8443/base/", "example.org:8443", "example.org:8443", "/base"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000", "127.0.0.1:5000", ""),
        ("http://127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", ""),
        ("https://[::1]:8443", "[::1]:8443", "[::1]:8443", ""),
        ("https://[2001:db8::1]", "[2001:db8::1]:443", "[2001:db8::1]", ""),
        ("unix:///run/docker.sock", "/run/docker.sock", "localhost", ""),
    ],
)
def test_where_a_url_points(url: str, name: str, header: str, prefix: str):
    origin = Origin(url)
    assert (origin.name, origin.header, origin.prefix) == (name, header, prefix)


@pytest.mark.parametrize(
    "url",
    [
        "example.org",
        "ftp://example.org",
        "https://",
        "https://user@example.org",
        "https://example.org?x=1",
        "https://example.org#x",
        "https://example.org:port",
        "https://example.org:99999",
        "https://[::1",
        "https://ex\u00e4mple.org",
        "unix://relative.sock",
    ],
)
def test_a_url_this_client_cannot_use_is_named(url: str):
    with pytest.raises(UrlError) as caught:
        Origin(url)
    assert repr(url) in str(caught.value)


def verification_failed() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionRefusedError(), HttpError, "h:1: connection refused; is it running?"),
        (ConnectionResetError(), HttpError, "h:1: the connection was cut off"),
        (BrokenPipeError(), HttpError, "h:1: the connection was cut off"),
        (ssl.SSLEOFError(8, "EOF"), HttpError, "h:1: the connection was cut off"),
        (TimeoutError("timed out"), HttpError, "h:1: no answer within 2.5 s"),
        (TimeoutError(110, "Connection timed out"), HttpError, "h:1: timed out"),
        (
            socket.gaierror(-2, "Name or service not known"),
            HttpError,
            "cannot be looked up (Name or service not known)",
        ),
        (OSError(113, "No route to host"), HttpError, "h:1: No route to host"),
        (verification_failed(), CertificateError, "its certificate was refused: certificate has expired"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), CertificateError, "alert certificate required"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), NoTlsError, "protocol version"),
        (tls_error("WRONG_VERSION_NUMBER"), NoTlsError, "are the address and the port right?"),
        (WireError("not HTTP"), BadAnswerError, "h:1: not HTTP"),
        (TooLargeError("too much"), HttpError, "h:1: too much"),
    ],
)
def test_every_failure_names_the_other_side_and_what_went_wrong(
    error: OSError | WireError, kind: type[HttpError], words: str
):
    explained = explain(Origin("http://h:1"), error, 2.5)
    assert type(explained) is kind or isinstance(explained, kind)
    assert words in str(explained)
    assert explained.origin == "h:1"
    assert explained.retryable is not isinstance(error, TooLargeError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory"), "no such socket; is it running?"),
        (PermissionError(13, "Permission denied"), "no permission to use this socket"),
    ],
)
def test_a_socket_that_cannot_be_used_says_why(error: OSError, words: str):
    assert str(explain(Origin("unix:///run/x.sock"), error, 1.0)) == f"/run/x.sock: {words}"
