"""What stands in a configuration of git that is made for one repository: quoted values, the way by ssh."""


def quoted(text: str) -> str:
    """Return `text` as it stands between quotation marks in a configuration of git."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def ssh_command(key: str, known_hosts: str) -> str:
    """Return the line by which `git` starts ssh: with these two files and nobody else's."""
    options = [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        f"UserKnownHostsFile={_ssh_path(known_hosts)}",
        "GlobalKnownHostsFile=/dev/null",
        "ForwardAgent=no",
        "ClearAllForwardings=yes",
        "ConnectTimeout=20",
        "ServerAliveInterval=20",
        "ServerAliveCountMax=3",
    ]
    told = " ".join(f"-o {_shell(each)}" for each in options)
    return f"ssh -F /dev/null -i {_shell(key.replace('%', '%%'))} {told}"


def _ssh_path(path: str) -> str:
    """Return `path` as an ssh option takes it: blanks in quotation marks, `%` doubled."""
    return '"' + path.replace("%", "%%") + '"'


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
