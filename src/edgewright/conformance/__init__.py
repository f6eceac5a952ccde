"""Judges anybody's agent or server from outside. Today: the list of requirements tests carry."""
