#!/bin/sh
# check_units.sh SOURCES BAKFS UNIT...: systemd accepts the units of the verbs, they are as tight as they say, and every
# verb of them is there.
set -eu
sources=$1 bakfs=$(realpath "$2")
shift 2
command -v systemd-analyze >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}

# The programs of a unit must exist for systemd-analyze: the one that was built stands in.
for unit in "$@"; do
    name=$(basename "$unit")
    cmp -s "$sources/$name" "$unit" || ! grep -q '=-\?/usr/bin/bakfs' "$unit" || fail "$name: the program's path was not put in"
    sed -E "s|^(Exec[A-Za-z]+=-?)[^ ]*/bakfs|\1$bakfs|" "$unit" >"$dir/$name"
done
[ "$(find "$sources" -name '*.service' -o -name '*.timer' | wc -l)" = $# ] || fail "a unit of conf/ is not installed"
cp "$dir/bakfs-backup@.service" "$dir/bakfs-backup@orders.service"
cp "$dir/bakfs-backup@.timer" "$dir/bakfs-backup@orders.timer"

for unit in "$dir"/bakfs-*.service "$dir"/bakfs-*.timer; do
    name=$(basename "$unit")
    case $name in *@.*) continue ;; esac
    # by its own directory alone: units of this machine say nothing
    out=$(SYSTEMD_UNIT_PATH="$dir:" systemd-analyze verify --man=no "$unit" 2>&1) || fail "$out"
    # what else there is on this machine may be wrong, too
    ! printf '%s\n' "$out" | grep -F "$name" >&2 || fail "$name: systemd-analyze verify"
done

for unit in "$dir"/bakfs-*.service; do
    name=$(basename "$unit")
    grep -q '^LimitCORE=0' "$unit" || fail "$name: a core file would hold secrets"
    case $name in
    bakfs-prune.service) ;; # sees the store alone
    *) grep -q '^RequiresMountsFor=/mnt/bak' "$unit" || fail "$name: does not wait for the mount" ;;
    esac
    # 0 is tight, 100 is open; a daemon without any of it has 96
    systemd-analyze security --offline=yes --no-pager --threshold=30 "$unit" >"$dir/exposure" 2>&1 ||
        fail "$name: $(tail -n 1 "$dir/exposure")"
    tail -n 1 "$dir/exposure"
    verb=$(sed -nE "s|^ExecStart=[^ ]+ ([a-z-]+).*|\1|p" "$unit")
    [ -n "$verb" ] || fail "$name: no verb"
done
for timer in "$dir"/bakfs-*.timer; do
    for key in Persistent=yes RandomizedDelaySec=; do
        grep -q "^$key" "$timer" || fail "$(basename "$timer"): $key is missing"
    done
    [ -e "${timer%.timer}.service" ] || fail "$timer: without a service"
    systemd-analyze calendar "$(sed -n 's/^OnCalendar=//p' "$timer")" >/dev/null || fail "$timer: OnCalendar"
done
