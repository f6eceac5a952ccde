"""The steps of a round, in their order: `accept` and read what is `desired`, `plan`, and `bring_about` that.

`apply`, `removal` and `rollback` carry actions out with their `tools`. `recovery` comes before all of them
when something was lost; `integrity` looks whether everything is what it was.
"""
