"""What the agent remembers, durable before anybody acts on it.

`store` is the database, whose tables `ledger` and `outbox` read and write; `objects` are documents by
digest. `revisions` says in which stage one is, `status` what is reported of it, `retention` what is kept.
`mirror` and `markers` keep the most important of it twice, for the day the database is lost.
"""
