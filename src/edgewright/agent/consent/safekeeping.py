"""The site's word, kept a second time beside the database: for the day the database is lost.

A pause, and the policies that are in force though the file or the fleet manager may be silent: without them a
device that lost its memory would begin what it was told to leave. Written when a round ends, if it is news.
Approvals are not kept: what was agreed to is asked anew.
"""

import json

from edgewright.agent.consent.wishes import PAUSE
from edgewright.agent.site.in_force import GOOD
from edgewright.agent.state.durable import write_whole
from edgewright.agent.state.store import Store
from edgewright.agent.talk.conversation import SUGGESTED, SUGGESTED_TAG
from edgewright.protocol.digests import digest_of

_OWN = (PAUSE, GOOD)
_OF_THE_FLEET_MANAGER = (SUGGESTED, SUGGESTED_TAG)


def save_word(path: str, store: Store, relation: str) -> None:
    """Write down what holds now; `relation` is the client whose fleet manager suggested what it did."""
    names = (*_OWN, *_OF_THE_FLEET_MANAGER)
    word = {name: value for name in names if (value := store.meta(name)) is not None}
    body = json.dumps({"relation": relation, "word": word}, sort_keys=True).encode()
    data = digest_of(body).encode() + b"\n" + body
    if _load(path) != data:
        write_whole(path, data)


def restore_word(path: str, store: Store, relation: str) -> bool:
    """Put back what held when the last round ended; return whether anything was there.

    What another client's fleet manager suggested is left out.
    """
    digest, _, body = _load(path).partition(b"\n")
    if not body or digest_of(body).encode() != digest:
        return False
    kept = json.loads(body)
    names = (*_OWN, *_OF_THE_FLEET_MANAGER) if kept["relation"] == relation else _OWN
    for name in names:
        if name in kept["word"]:
            store.set_meta(name, kept["word"][name])
    return True


def _load(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
