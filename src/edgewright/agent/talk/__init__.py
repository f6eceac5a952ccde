"""What the watch says to the fleet manager and hears of it, at the times the site allows.

In the order of reading: `transports` chooses between `link` (the device API, over `session`) and
`git_link`, two kinds of `conversation`; `channel`, `manners`, `answers` and `repeats` say when it may be
spoken again, `hours` and `timetable` when at all.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""
