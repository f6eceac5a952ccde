"""`edgewright completion`: completion for bash, zsh and fish, with names from the fleet manager."""

from __future__ import annotations

import argparse

HELP = """\
Print the script with which a shell completes the words of 'edgewright': commands,
options, kinds, and the names of devices, packages, deployments and more, which
are asked of the fleet manager that you are logged in to.

  bash    edgewright completion bash > ~/.local/share/bash-completion/completions/edgewright
  zsh     edgewright completion zsh > "${fpath[1]}/_edgewright"
  fish    edgewright completion fish > ~/.config/fish/completions/edgewright.fish

For this session alone: source <(edgewright completion bash)"""

BASH = """\
# bash completion for edgewright
_edgewright() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    local line found=()
    # '=' and ':' break words in bash; what stands before them is in the candidates as well.
    local current="${COMP_WORDS[COMP_CWORD]}"
    if declare -F _get_comp_words_by_ref >/dev/null; then
        local cur whole cword
        _get_comp_words_by_ref -n "=:" -c cur -w whole -i cword
        words=("${whole[@]:1:cword}")
        current="$cur"
    fi
    while IFS=$'\\t' read -r line _; do
        [ -n "$line" ] && found+=("$line")
    done < <(edgewright __complete -- "${words[@]}" 2>/dev/null)
    if [ "${#found[@]}" -eq 1 ] && [ "${found[0]}" = ":files" ]; then
        COMPREPLY=()
        compopt -o default 2>/dev/null
        return
    fi
    COMPREPLY=("${found[@]}")
    [[ "${#found[@]}" -eq 1 && "${found[0]}" == */ ]] && compopt -o nospace 2>/dev/null
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$current"
    fi
}
complete -F _edgewright edgewright
"""

ZSH = """\
#compdef edgewright
_edgewright() {
    local -a lines described
    local line
    lines=("${(@f)$(edgewright __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${lines[1]}" == ":files" ]]; then
        _files
        return
    fi
    for line in "${lines[@]}"; do
        [[ -z "$line" ]] && continue
        described+=("${${line%%$'\\t'*}//:/\\\\:}${${line#*$'\\t'}:+:${line#*$'\\t'}}")
    done
    _describe -V edgewright described
}
if [ "$funcstack[1]" = "_edgewright" ]; then
    _edgewright "$@"
else
    compdef _edgewright edgewright
fi
"""

FISH = """\
# fish completion for edgewright
function __edgewright_complete
    set -l words (commandline -opc)[2..-1] (commandline -ct)
    set -l found (edgewright __complete -- $words 2>/dev/null)
    if test "$found" = ":files"
        __fish_complete_path (commandline -ct)
        return
    end
    printf '%s\\n' $found
end
complete -c edgewright -f -a '(__edgewright_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the argument of `edgewright completion`."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), metavar="bash|zsh|fish")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(SCRIPTS[args.shell], end="")
    return 0
