# SPDX-License-Identifier: Apache-2.0
#
# Completion of jetfs in bash: source this file, or install it as
# /usr/share/bash-completion/completions/jetfs.

_jetfs_sources() {
    local path=${1%:*}
    # SOURCE:STREAM; the colon divides words in bash, so only the stream's name is offered.
    if [[ $1 == *:* && -e $path ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(jetfs ls "$path" 2>/dev/null | cut -f 2 | tail -n +2)" -- "${1##*:}")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
    compopt -o filenames
}

_jetfs() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    local common="--json --account --key-file --prev-key-file --help"
    COMPREPLY=()

    if [ "$COMP_CWORD" -ge 3 ] && [ "$before" = : ]; then
        _jetfs_sources "${COMP_WORDS[COMP_CWORD - 2]}:$word"
        return
    fi
    if [ "$word" = : ] && [ "$COMP_CWORD" -ge 2 ]; then
        _jetfs_sources "$before:"
        return
    fi
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "mount ls info dump verify pub rm purge compact backup restore rekey stream next consumer bench --help --version" -- "$word")
        return
    fi
    if [ "$verb" = stream ] && [ "$COMP_CWORD" = 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "add edit rm ls" -- "$word")
        return
    fi
    if [ "$verb" = consumer ] && [ "$COMP_CWORD" = 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "add rm ls info next reset" -- "$word")
        return
    fi
    case $before in
    --ack)
        mapfile -t COMPREPLY < <(compgen -W "explicit all none" -- "$word")
        return
        ;;
    --deliver)
        mapfile -t COMPREPLY < <(compgen -W "all last new last-per-subject" -- "$word")
        return
        ;;
    --format)
        mapfile -t COMPREPLY < <(compgen -W "raw jsonl csv records" -- "$word")
        return
        ;;
    -o)
        mapfile -t COMPREPLY < <(compgen -W "ro rw allow_delete allow_admin allow_all force account= sync= key_file= prev_key_file= max_payload= cache= seq=hidden views=cached allow_other auto_unmount" -- "$word")
        compopt -o nospace
        return
        ;;
    esac
    if [[ $word == -* ]]; then
        case $verb in
        dump) common+=" --subject --seq --since --until --format" ;;
        pub) common+=" --lines --header -H" ;;
        next) common+=" --count --no-ack --nak --raw" ;;
        consumer)
            case ${COMP_WORDS[2]} in
            add) common+=" --filter --deliver --ack --wait --max-deliver --max-pending --backoff --description --config" ;;
            rm) common+=" --force" ;;
            next) common+=" --count --no-ack --nak --raw" ;;
            reset) common+=" --seq --time" ;;
            esac
            ;;
        mount) common="-o -f -d --help" ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$common" -- "$word")
        return
    fi
    _jetfs_sources "$word"
}

complete -F _jetfs jetfs
