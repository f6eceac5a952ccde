"""Reports to the device API (spec: CAP-4, ST-4): one request, and what its answer means.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import time

from edgewright.agent.state.outbox import Report
from edgewright.agent.talk.answers import RefusalError
from edgewright.agent.talk.session import Session
from edgewright.protocol import media_types


def deliver(session: Session, report: Report) -> None:
    """Send `report`; returns when it was taken, raises `RefusalError` and what the session raises."""
    headers = [("content-type", media_types.JSON), ("accept", media_types.JSON)]
    response = session.request(report.method, report.path, headers=headers, body=report.body)
    if not 200 <= response.status < 300:
        raise RefusalError(response, f"{report.method} {report.path}", time.time())
