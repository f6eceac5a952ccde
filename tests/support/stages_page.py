"""Makes docs/reference/stages.md from the table of stages: `python tests/support/stages_page.py`."""

from pathlib import Path

from edgewright.agent.state.revisions import STAGES, Stage

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "stages.md"
HEAD = """\
# Stages of a revision

A *revision* is one version of a deployment's document. The agent writes down the stage each revision is in
before it acts, so that a round that was killed is taken up by the next one. This page is made from the
table in `edgewright.agent.state.revisions`, which the agent itself goes by; do not edit it.

| stage | reported as | may be followed by | killed here, the next round … |
| --- | --- | --- | --- |
"""
FOOT = """
A stage may also be written down again, with another error for example. `superseded` has a word and is not
reported: the report of a deployment is always about the revision that the manifest wants. A deployment is
reported as the most severe of its components, so that one with a component that cannot be fetched is
`pending`, and one with a component that did not come up `failed`, whatever the others are.

A revision that the site does not let begin yet is `ready`, or before that while nothing may be fetched for
it, and is reported `pending` with what is waited for (`hold.approval`, `hold.window`, …). It is asked about
in the instant before `applying`; from then on nothing holds it any more. A removal that is held is no stage:
the revision stays what it was.

What this looks like from outside: [updates and roll-back](../concepts/updates-and-rollback.md).
"""


def stages_page() -> str:
    """Return the page."""
    rows = [
        f"| `{stage}` | `{facts.word}` | {_names(facts.follows)} | {facts.after_kill} |\n"
        for stage, facts in STAGES.items()
    ]
    return HEAD + "".join(rows) + FOOT


def _names(stages: frozenset[Stage]) -> str:
    return ", ".join(f"`{stage}`" for stage in Stage if stage in stages) or "nothing"


if __name__ == "__main__":
    PAGE.write_text(stages_page())
