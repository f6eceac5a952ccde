"""The agent on the device: source → accept → plan → fetch → apply → verify → status → outbox → sink."""
