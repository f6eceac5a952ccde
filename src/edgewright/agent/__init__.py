"""The agent on the device: source → accept → plan → fetch → apply → verify → status → outbox → sink.

Two kinds of process, and folders by which of them a module is of:

- `watch.py`, the small one that stays. `talk/` is what it says to the fleet manager and hears of it,
  `resident/` what else it listens to and starts.
- `round.py`, one pass from what is on disk to what shall run. `work/` has its steps in their order,
  `runtimes/` what carries them out on an engine, `consent/` whether the site agrees now.
- `courier.py`, one errand to a Git repository, of which `git/` knows how.

`state/` is what all of them remember. `site/` is the policy in force, `on_site/` and `page/` are what
people at the device see and ask, `enrollment/` is how a device comes into a fleet. `sync.py` and
`verify.py` are commands of their own.
"""
