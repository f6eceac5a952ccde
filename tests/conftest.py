"""Plugins and fixtures of every test; what they are is in tests/support."""

from hypothesis import settings

pytest_plugins = ["support.fixtures", "support.requirements", "support.kill_table", "support.browser"]

# Property tests assert what is true, never how long it took: a loaded machine is no failure.
settings.register_profile("untimed", settings(deadline=None))
settings.load_profile("untimed")
