"""The kinds of things `get`, `describe`, `apply`, `delete` and `watch` know, each in a module of its own.

`registry` finds a kind by any of its names and loads that module alone; `kind` says what a kind consists of;
`documents` is the form in which things are written to files and read back.
"""
