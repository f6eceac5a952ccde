"""What the `git` program is told of this device's repository and of what opens it.

All of it is handed over in a configuration file that only the agent's user may read, so that nothing of it is
in the arguments or the environment of a process (spec: GR-40). The watch needs none of this.
"""

from collections.abc import Iterator

from edgewright.agent.git.access import KNOWN_HOSTS, SSH_KEY, GitAccess
from edgewright.agent.state.durable import write_whole
from edgewright.net.git.config import quoted, ssh_command
from edgewright.net.git.url import FILE, HTTPS, SSH


def write_git_config(access: GitAccess, path: str) -> None:
    """Write to `path` the configuration with which `git` gets at the repository, for its owner alone.

    What goes over HTTPS is bound to the address of this repository and is sent nowhere else. Raises
    AccessError, OSError.
    """
    write_whole(path, "".join(_config(access)).encode("utf-8"))


def _config(access: GitAccess) -> Iterator[str]:
    if access.url.scheme == SSH:
        command = ssh_command(access.file(SSH_KEY), access.file(KNOWN_HOSTS))
        yield f'[core]\n\tsshCommand = "{quoted(command)}"\n'
    elif access.url.scheme == FILE:
        yield f'[safe]\n\tdirectory = "{quoted(access.url.path)}"\n'
    if access.url.scheme != HTTPS:
        return
    yield f'[http "{quoted(access.url.text)}"]\n'
    settings = [("sslVerify", "true"), ("sslVersion", "tlsv1.2"), ("proxy", access.proxy_with_password())]
    if access.proxy:
        settings.append(("proxyAuthMethod", "basic"))
    if access.authority:
        settings.append(("sslCAInfo", access.authority))
    if access.certificate is not None:
        settings += zip(("sslCert", "sslKey"), access.certificate, strict=True)
    authorization = access.authorization()
    if authorization:
        settings.append(("extraHeader", f"Authorization: {authorization}"))
    for name, value in settings:
        yield f'\t{name} = "{quoted(value)}"\n'
