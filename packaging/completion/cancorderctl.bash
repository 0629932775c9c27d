# Completion for cancorderctl, cancorderd and the commands that are one bus, in bash. Written by packaging/man/build.
# shellcheck shell=bash

_cancorderctl() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' options='' operands='' socket=() index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
        --socket)
            socket=(--socket "${COMP_WORDS[index + 1]}")
            ((index++))
            ;;
        -*) ;;
        *)
            command=${COMP_WORDS[index]}
            break
            ;;
        esac
    done
    case $command in
    '') options='--help --socket --version status clients events reload start stop restart check detect discover dump help' ;;
    status) options='--help --interval --json --watch' ;;
    clients) options='--help --json' ;;
    events) options='--follow --help --json' ;;
    reload) options='--dry-run --help --json' ;;
    start) options='--help --json' ;;
    stop) options='--help --json' ;;
    restart) options='--help --json' ;;
    check) options='--help --json' ;;
    detect) options='--all --config --folder --help --json --probe --write' ;;
    discover) options='--help --json --timeout' ;;
    dump) options='--count --decode --help --json --log --timestamp' ;;
    help) options='--help' ;;
    esac
    case $command in
    status | clients | events | start | stop | restart) operands=buses ;;
    check) operands=files ;;
    esac
    case $previous in
    --socket | --config | --folder) operands=files ;;
    *)
        if [[ -z $command || $word == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
            return
        fi
        ;;
    esac
    case $operands in
    buses) mapfile -t COMPREPLY < <(compgen -W "$(_cancorderctl_buses "${socket[@]}")" -- "$word") ;;
    files) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    *) COMPREPLY=() ;;
    esac
}

# The names of the buses of the running daemon; none where it does not run.
_cancorderctl_buses() {
    cancorderctl "$@" status --json 2>/dev/null | sed -n 's/^      "name": "\([A-Za-z0-9_-]*\)",\{0,1\}$/\1/p'
}

_cancorderd() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options
    options='--check --config --demo --help --version'
    case $previous in
    -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
    esac
}

_cancorder_one_bus() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options=''
    case ${COMP_WORDS[0]##*/} in
    cancorder-canlogger) options='--auto --bitrate --channel --help --interface --no-zeroconf --port --service-name --verbose' ;;
    cancorder-rusoku-canlogger) options='--bitrate --channel --help --library --no-zeroconf --port --service-name --verbose' ;;
    cancorder-mock-uds-canlogger) options='--async --ecu-id --help --no-loop --no-zeroconf --port --service-name --speed --tester-id --verbose' ;;
    esac
    case $previous in
    -c | --channel | -l | --library) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    -i | --interface) mapfile -t COMPREPLY < <(compgen -W 'gs_usb socketcan slcan toucan auto' -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
    esac
}

complete -o filenames -F _cancorderctl cancorderctl
complete -o filenames -F _cancorderd cancorderd
complete -o filenames -F _cancorder_one_bus cancorder-canlogger cancorder-rusoku-canlogger cancorder-mock-uds-canlogger
