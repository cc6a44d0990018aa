# SPDX-License-Identifier: Apache-2.0
# Completion of tern-shell for bash. Commands behind -c come from `tern-shell --commands`.
_tern_shell() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    case $before in
    -d | --data) compopt -o dirnames ;;
    -s | --socket | --config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    -c | --command) mapfile -t COMPREPLY < <(compgen -W "$(tern-shell --commands 2>/dev/null)" -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "--data --socket --config --node --command --json --no-colour --help --version" -- "$word") ;;
    esac
}
complete -F _tern_shell tern-shell
