# SPDX-License-Identifier: Apache-2.0
# Completion of tern-node, tern-chat, tern-bench and tern-sim for bash: subcommands and options are read from what
# the program's own --help says. (tern-shell's own is in shell/.)
_tern() {
    local program=$1 name=${1##*/} word=${COMP_WORDS[COMP_CWORD]} help words=
    help=$("$program" --help 2>/dev/null)
    if [[ $word == -* ]]; then
        words=$(grep -oE -- '--[a-z][a-z-]*' <<<"$help" | sort -u)
    elif ((COMP_CWORD == 1)); then
        words=$(sed -nE "s/^(Usage:)? *$name ([a-z]+).*/\\2/p" <<<"$help" | sort -u)
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    ((${#COMPREPLY[@]})) || compopt -o default # a file
}
complete -F _tern tern-node tern-chat tern-bench tern-sim
