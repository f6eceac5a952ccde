"""Edgewright runs applications on industrial edge devices by the open Margo specification."""

__version__ = "0.1.0"
