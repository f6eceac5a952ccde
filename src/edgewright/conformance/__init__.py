"""Judges anybody's agent or server from outside. Today: the list of requirements and the tests that carry them."""
