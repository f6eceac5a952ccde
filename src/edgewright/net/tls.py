"""TLS contexts for the connections the project makes; made once and kept (making them in a loop may leak).

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import ssl

from edgewright.protocol.errors import EdgewrightError


class TlsSetupError(EdgewrightError):
    """A certificate, key or trust anchor at hand cannot be used; names which."""

    code = "tls.setup"


def server_auth_context(*, cafile: str | None = None, anchors_pem: str | None = None) -> ssl.SSLContext:
    """Check the server by anchors plus name, TLS 1.3 (spec: TLS-1, TLS-10); else the system's."""
    context = _client_context()
    if cafile is None and anchors_pem is None:
        context.load_default_certs()
        return context
    _load_anchors(context, cafile, anchors_pem)
    return context


def registry_context(cafile: str | None = None, anchors_pem: str | None = None) -> ssl.SSLContext:
    """Check a registry by the system's anchors and those given; TLS 1.2 too, as many still need it."""
    context = _client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs()
    if cafile is not None or anchors_pem is not None:
        _load_anchors(context, cafile, anchors_pem)
    return context


def git_context(cafile: str, shown: tuple[str, str] | None) -> ssl.SSLContext:
    """Check a Git server by the anchors in `cafile` alone, or the system's where it is empty; TLS 1.2 too.

    `shown` are the files with the certificate that is presented and its key.
    """
    context = _client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cafile:
        _load_anchors(context, cafile, None)
    else:
        context.load_default_certs()
    if shown is not None:
        _load_own(context, *shown)
    return context


def mutual_context(certificate: str, key: str, anchors_pem: str) -> ssl.SSLContext:
    """Present the SVID in file `certificate`, accept what chains to any anchor (spec: TLS-4, SVID-12).

    Names are not compared (spec: TLS-9): the caller has to check the peer's SPIFFE ID after the handshake.
    Every anchor counts by itself, also one that was signed by another authority.
    """
    context = _client_context()
    context.check_hostname = False
    _load_anchors(context, None, anchors_pem)
    _load_own(context, certificate, key)
    return context


def _load_own(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise TlsSetupError(
            f"{certificate}, {key}: not a certificate and its key ({_reason(error)})"
        ) from error
    except OSError as error:
        raise TlsSetupError(f"{certificate}, {key}: {error.strerror}") from error


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def _load_anchors(context: ssl.SSLContext, cafile: str | None, anchors_pem: str | None) -> None:
    name = cafile or "trust anchors"
    try:
        context.load_verify_locations(cafile=cafile, cadata=anchors_pem)
    except ssl.SSLError as error:
        raise TlsSetupError(f"{name}: no usable certificate in PEM form ({_reason(error)})") from error
    except OSError as error:
        raise TlsSetupError(f"{name}: {error.strerror}") from error
    except ValueError as error:
        raise TlsSetupError(f"{name}: no usable certificate in PEM form") from error
    if not context.cert_store_stats()["x509"]:
        raise TlsSetupError(f"{name}: no certificate in it")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def _no_password() -> str:
    """Answer for OpenSSL, which would otherwise ask for the password of an encrypted key at the terminal."""
    raise TlsSetupError("the private key is encrypted; a device needs one it can read alone")
