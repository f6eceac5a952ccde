"""TLS to a server known by a pin: the hash of a key in its certificate chain (spec: TLS-14, TLS-19).

A pin names a key, TLS wants a certificate. So the chain is looked at first, on a connection that carries
nothing; the certificate whose key the pin names becomes the only trust anchor of the real connection, where
OpenSSL checks that the leaf really chains to it and is valid.
"""

import ipaddress
import ssl

from edgewright.net.http import Client
from edgewright.net.tls import server_auth_context
from edgewright.protocol.errors import IdentityError
from edgewright.protocol.svid import spki_pin
from edgewright.protocol.trust import pem_of


def pinned_context(url: str, pin: str) -> ssl.SSLContext:
    """Return a context that accepts exactly the server at `url` whose chain holds the key of `pin`.

    Its name is checked where `url` has one; an address needs none. Raises IdentityError when no certificate
    it shows has that key, and HttpError when it cannot be reached.
    """
    looking = Client(url, context=_look_only_context(), check_peer=_show)
    try:
        looking.request("HEAD", "/")
    except _Shown as shown:
        chain = shown.chain
    else:
        raise IdentityError(f"{url}: showed no certificate")
    finally:
        looking.close()
    for der in chain:
        if spki_pin(der) == pin:
            context = server_auth_context(anchors_pem=pem_of(der))
            context.check_hostname = not _is_address(looking.origin.host)
            return context
    raise IdentityError(
        f"{url}: none of its {len(chain)} certificates has the pinned key; is it another server?"
    )


class _Shown(Exception):  # noqa: N818 - not an error: it ends the connection before a byte is sent
    def __init__(self, chain: list[bytes]) -> None:
        self.chain = chain


def _look_only_context() -> ssl.SSLContext:
    """Return a context that checks nothing, for looking at a chain; no request ever goes over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _show(peer: ssl.SSLSocket) -> None:
    raise _Shown(_presented_chain(peer))


def _presented_chain(peer: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates a server presented, as DER, leaf first."""
    if hasattr(peer, "get_unverified_chain"):  # Python 3.13
        return list(peer.get_unverified_chain())
    certificates = peer._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in certificates or ()]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
