#!/bin/bash
# check_completion.sh BAKFS FILE: what bash offers after `bakfs ...`.
set -eu
program=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin"
ln -s "$program" "$dir/bin/bakfs"
PATH=$dir/bin:$PATH
export BAKFS_CONF=$dir/bakfs.conf
printf '[database orders]\n[database users]\n#[database none]\n' >"$BAKFS_CONF"
printf '[database other]\n' >"$dir/other.conf"
# shellcheck source=/dev/null
. "$2"
offered() { # words: the last one is completed
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _bakfs
    echo "${COMPREPLY[*]}"
}
wants() { # what is offered, then the words
    local wanted=$1 got
    shift
    got=$(offered "$@")
    [ "$got" = "$wanted" ] || { echo "'$*': offered '$got', not '$wanted'" >&2; exit 1; }
}
wants "list" bakfs li
wants "mount" bakfs mo
wants "--quiet" bakfs confirm --q
wants "--json" bakfs list --j
wants "orders" bakfs backup or
wants "orders users" bakfs drill ""
wants "other" bakfs backup -c "$dir/other.conf" o
wants "$dir/other.conf" bakfs list -c "$dir/o"
wants "$dir/other.conf" bakfs confirm "$dir/o"
wants "" bakfs backup nosuch
for verb in $(bakfs help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p'); do
    for option in $(bakfs "$verb" --help | grep -oE -- ' --[a-z][a-z-]+'); do
        case " $(offered bakfs "$verb" --) " in
        *" $option "*) ;;
        *) echo "bakfs $verb: $option is not offered" >&2; exit 1 ;;
        esac
    done
done
