"""Plugins and fixtures of every test; what they are is in tests/support."""

pytest_plugins = ["support.fixtures", "support.requirements", "support.kill_table", "support.browser"]
