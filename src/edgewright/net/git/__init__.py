"""Git for agent and server alike: addresses, the wire protocol, the `git` program."""
