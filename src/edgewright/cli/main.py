"""The command `edgewright`: finds the subcommand and loads that module alone.

`edgewright agent run` goes through here on every device before it becomes the watch, so this module
imports nothing of the project but the error classes, and no subcommand before it was asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module

from edgewright import __version__
from edgewright.cli.boundary import guarded

# name -> (module, one line of help). The order is the order of the help.
COMMANDS = {
    "demo": ("edgewright.cli.demo", "show all of it working on this machine, in a minute"),
    "server": ("edgewright.cli.server", "the fleet manager: set it up, run it"),
    "agent": ("edgewright.cli.agent", "the agent on a device: enroll it, run it, ask it"),
    "login": ("edgewright.cli.login", "say which fleet manager the commands below talk to"),
    "get": ("edgewright.cli.get", "list devices, packages, deployments and more"),
    "describe": ("edgewright.cli.describe", "tell all that is known of one of them"),
    "apply": ("edgewright.cli.apply", "have what files say: apply -f fleet.yaml"),
    "diff": ("edgewright.cli.diff", "show what apply would change"),
    "edit": ("edgewright.cli.edit", "change one of them in an editor"),
    "delete": ("edgewright.cli.delete", "take things away"),
    "watch": ("edgewright.cli.watch", "follow things until they have settled"),
    "rollout": ("edgewright.cli.rollout", "steer a rollout: pause, resume, skip, undo"),
    "token": ("edgewright.cli.token", "make a token for a program"),
    "enrollment": ("edgewright.cli.enrollment", "invite a device, or let in one that asks"),
    "device": ("edgewright.cli.device", "devices: list, show, accept, retire"),
    "repository": ("edgewright.cli.repository", "Git repositories of devices: host, open, carry"),
    "component": ("edgewright.cli.component", "Compose components: check a folder, publish it"),
    "package": ("edgewright.cli.package", "application packages: check, publish, import, list"),
    "deployment": ("edgewright.cli.deployment", "what runs where: create, change, delete, watch"),
    "completion": ("edgewright.cli.completion", "complete commands and names in your shell"),
    "version": ("edgewright.cli.version", "the version of this program and of the specification"),
}

INTRODUCTION = """\
usage: edgewright COMMAND ...

Edgewright runs applications on edge devices from a fleet manager, by the
open Margo specification. It has three parts:

  the server    the fleet manager. Keeps application packages and says, per
                device, what shall run there
  the agent     on every device. Fetches what shall run, runs it with Docker or
                Podman, and reports back. It needs no open port
  this command  for the people who publish applications and deploy them

Commands:
{commands}

Begin with one of these:
  edgewright demo                        see it work, leaves nothing behind
  edgewright server init --data DIR --trust-domain example.org
  edgewright login DIR/operator.json     then: enrollment create, package
                                         import, deployment create

'edgewright COMMAND --help' tells more about each."""


def main() -> int:
    """Run the command line of this process and return its exit code."""
    return guarded(lambda: run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Carry out the command line `words` (without the program's name); errors are raised."""
    if not words or words[0] in {"-h", "--help", "help"}:
        print(introduction())
        return 0
    name, rest = words[0], words[1:]
    if name in {"-V", "--version"}:
        print(f"edgewright {__version__}")
        return 0
    if name == "__complete":
        return _complete(rest[1:] if rest[:1] == ["--"] else rest)
    if name not in COMMANDS:
        raise _unknown(name)
    from edgewright.cli.arguments import Parser

    module = import_module(COMMANDS[name][0])
    parser = Parser(prog=f"edgewright {name}", description=module.HELP)
    module.configure(parser)
    code: int = module.run(parser.parse_args(rest))
    return code


def _complete(words: list[str]) -> int:
    """Print what the last of `words` could become, for the shell (see `completing`)."""
    from edgewright.cli.completing import complete

    for candidate, told in complete(words, COMMANDS):
        print(f"{candidate}\t{told}" if told else candidate)
    return 0


def introduction() -> str:
    """Return what `edgewright` alone shows: the parts, the commands, where to begin."""
    lines = (f"  {name:<12}  {summary}" for name, (_, summary) in COMMANDS.items())
    return INTRODUCTION.format(commands="\n".join(lines))


def _unknown(name: str) -> Exception:
    from edgewright.cli.arguments import unknown
    from edgewright.cli.errors import UsageError

    what = f"unknown option '{name}'" if name.startswith("-") else unknown(name, list(COMMANDS))
    return UsageError(f"{what}\nTry 'edgewright --help'.")


if __name__ == "__main__":
    sys.exit(main())
