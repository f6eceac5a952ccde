"""The agent on the device. Its data flows: source, accept, plan, fetch, apply, verify, status, outbox, sink."""
