#!/bin/sh
# check_man.sh BAKFS PAGE...: every verb has a page with all its options, and groff has nothing to say about any of them.
set -eu
bakfs=$1
shift
command -v groff >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}
for page in "$@"; do
    said=$(groff -man -Tutf8 -ww -P-cbou "$page" 2>&1 >"$dir/$(basename "$page").txt")
    [ -z "$said" ] || fail "$page: $said"
    for heading in NAME 'SEE ALSO'; do
        grep -q "^$heading" "$dir/$(basename "$page").txt" || fail "$page: no $heading"
    done
done
[ -s "$dir/bakfs.conf.5.txt" ] || fail "no bakfs.conf.5"
for verb in $("$bakfs" help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p'); do
    page=$dir/bakfs-$verb.1.txt
    [ -e "$page" ] || fail "the verb $verb has no page"
    grep -q '^SYNOPSIS' "$page" || fail "$verb: no SYNOPSIS"
    grep -q '^EXAMPLES' "$page" || fail "$verb: no EXAMPLES"
    grep -q "bakfs-$verb" "$dir/bakfs.1.txt" || fail "bakfs(1) does not name $verb"
    for option in $("$bakfs" "$verb" --help | grep -oE -- '--[a-z][a-z-]+'); do
        grep -q -e "$option" "$page" || fail "$verb: $option is not in its page"
    done
done
