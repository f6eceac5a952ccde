"""One command, `edgewright`; a subcommand is imported only when it is asked for."""
