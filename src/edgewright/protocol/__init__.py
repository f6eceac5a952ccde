"""The documents both ends exchange, as typed values: parse, render, digest, verify. No I/O, no clock.

Nothing is re-exported here: the long-lived watch imports single modules and pays for no others.
"""
