"""What the resident watch loads of the protocol is standard library, and little of it."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import ssl, json, http.client  # what the watch needs anyway
before = set(sys.modules)
import edgewright.protocol.digests, edgewright.protocol.errors, edgewright.protocol.media_types
import edgewright.protocol.spiffe, edgewright.protocol.svid
print(*sorted(set(sys.modules) - before), sep="\\n")
"""


@pytest.mark.requirement("S-12")
def test_the_watch_pays_for_no_other_module():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = {name for name in run.stdout.split() if not name.startswith("edgewright")}
    assert loaded <= {"hashlib", "_hashlib", "_blake2", "_sha1", "_sha2", "_sha3", "_md5"}
