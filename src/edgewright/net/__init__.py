"""Carries bytes for both halves: an HTTP client and an OCI registry client, on the standard library alone."""
