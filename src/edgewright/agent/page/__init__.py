"""The local page: what a plant engineer sees and decides at the machine, in a browser.

    python -I -m edgewright.agent.page --state DIR --fd N --idle SECONDS [--config FILE] [--policy FILE]

The watch hands over a listening socket when a browser knocks, and the process ends when nobody has asked for
anything for a while. `wire` reads and writes HTTP and `app` answers; `password`, `session` and `origin` tell
who may ask; `overview`, `decisions`, `history` and `week` draw in the frame of `layout`, and `html` escapes.
Nothing comes from the internet, and nothing is kept in memory that has to survive.
"""
