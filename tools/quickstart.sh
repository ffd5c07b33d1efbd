#!/bin/bash
# quickstart.sh [DIR]: on a Debian 12, as root, from nothing to a mounted store with a backup in it.
# quickstart.sh --install: installs what is needed, builds and installs bakfs, and nothing more.
#
# Installs what is needed, builds, makes key and configuration for a store dir: (or $BAKFS_QUICKSTART_STORE), mounts it
# at DIR (default /mnt/bak), copies a dump in, lists it, reads it back and opens its object with age and zstd alone.
# The mount stays. May be run again.
set -euo pipefail

install_only=
[ "${1:-}" != --install ] || { install_only=yes && shift; }
point=${1:-/mnt/bak}
store=${BAKFS_QUICKSTART_STORE:-dir:/var/lib/bakfs-quickstart}
conf=/etc/bakfs/bakfs.conf
top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build-quickstart
PATH=/usr/local/bin:/usr/local/sbin:$PATH # where it installs to
log=$build/quickstart.log

die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}
step() { printf '\n== %s\n' "$*"; }

# The value of a key in the configuration.
setting() { sed -n "s/^$1 = //p" "$conf"; }

[ $# -le 1 ] || { echo "usage: quickstart.sh [DIR] | --install" >&2; exit 2; }
[ "$(id -u)" = 0 ] || die "run it as root: it installs packages and mounts"
command -v apt-get >/dev/null || die "it needs apt-get: Debian 12"
case $point in
    /*) ;;
    *) point=$PWD/$point ;;
esac

install_packages() {
    local wanted=(gcc libc6-dev meson ninja-build pkg-config fuse3 libfuse3-dev libcurl4-openssl-dev
        libssl-dev libzstd-dev zlib1g-dev liblzma-dev libinih-dev libjson-c-dev libexpat1-dev libxxhash-dev libsystemd-dev libpq-dev
        age zstd ca-certificates) missing=() package
    case $store in s3://*) wanted+=(awscli) ;; esac
    for package in "${wanted[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends "${missing[@]}"
}

build_and_install() {
    local again=()
    mkdir -p "$build"
    [ ! -e "$build/build.ninja" ] || again=(--reconfigure)
    meson setup "${again[@]}" "$build" "$top" --buildtype=release -Db_ndebug=false \
        --prefix=/usr/local -Dtests=disabled >"$log" 2>&1 ||
        { cat "$log" >&2; die "meson failed"; }
    ninja -C "$build" >>"$log" 2>&1 ||
        { tail -50 "$log" >&2; die "the build failed"; }
    meson install -C "$build" --no-rebuild >>"$log" 2>&1 ||
        { tail "$log" >&2; die "the installation failed"; }
    # mount(8) looks nowhere else.
    ln -sf /usr/local/bin/bakfs /sbin/mount.bakfs
}

configure() {
    if [ -e "$conf" ]; then
        [ "$(setting url)" = "$store" ] ||
            die "$conf names another store ($(setting url)): it is left alone; use bakfs itself"
        [ "$(setting point)" = "$point" ] ||
            die "$conf mounts at $(setting point): quickstart.sh $(setting point)"
        echo "$conf is there and is used"
        return
    fi
    # A trial should be easy to remove again: rm does not delete an immutable directory.
    local options=(--store "$store" --mount "$point" --no-immutable)
    case $store in
        s3://*) [ -z "${AWS_ENDPOINT_URL:-}" ] || options+=(--endpoint "$AWS_ENDPOINT_URL") ;;
    esac
    bakfs init "${options[@]}" </dev/null
}

mounted() { awk -v at="$point" '$2 == at && $3 == "fuse.bakfs" { n = 1 } END { exit !n }' /proc/mounts; }

remount() {
    if mounted; then
        bakfs umount "$point"
    fi
    [ -c /dev/fuse ] || modprobe fuse 2>/dev/null || true
    [ -c /dev/fuse ] || die "there is no /dev/fuse: a container needs --device /dev/fuse --cap-add SYS_ADMIN"
    bakfs mount
    mounted || die "bakfs mount said it worked, but nothing is mounted at $point"
}

# A dump as pg_dump writes it, so that its end can be told from a cut.
make_dump() {
    awk 'BEGIN {
        print "--\n-- PostgreSQL database dump\n--\n"
        print "CREATE TABLE public.orders (id integer, customer text, amount numeric);\n"
        print "COPY public.orders (id, customer, amount) FROM stdin;"
        for (i = 1; i <= 300000; i++)
            printf "%d\tcustomer %d\t%d.%02d\n", i, i * 7919 % 100003, i * 31 % 1000, i % 100
        print "\\.\n\n--\n-- PostgreSQL database dump complete\n--\n"
    }'
}

# The object under a key, by nobody's help.
fetch_object() {
    case $store in
        dir:*) cat "${store#dir:}/$1" ;;
        s3://*)
            local endpoint=()
            [ -z "${AWS_ENDPOINT_URL:-}" ] || endpoint=(--endpoint-url "$AWS_ENDPOINT_URL")
            aws "${endpoint[@]}" s3 cp "${store%/}/$1" -
            ;;
    esac
}

step "packages"
install_packages
step "build and install (log: $log)"
build_and_install
bakfs --version
[ -z "$install_only" ] || exit 0
step "key and configuration"
configure
step "mount $store at $point"
remount

host=$(uname -n | tr -c 'A-Za-z0-9._\n-' '-')
date=$(date -u +%F)
name=$host.$(date -u +%Y%m%dT%H%M%SZ).quickstart.sql
path=$host/$date/quickstart/$name
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make_dump >"$work/dump.sql"

step "copy a dump of $(stat -c %s "$work/dump.sql") bytes in"
mkdir -p "$point/$host/$date/quickstart"
cp "$work/dump.sql" "$point/$path"
bakfs confirm "$point/$path"

step "what there is"
bakfs list "$host"

step "read it back, from a mount that has never seen it"
remount
cmp "$work/dump.sql" "$point/$path"
echo "the same bytes"

step "open its object without bakfs: age and zstd"
fetch_object "$path.zst.age" >"$work/object"
age -d -i "$(setting identity)" <"$work/object" | zstd -d | cmp - "$work/dump.sql"
echo "the same bytes, from $(stat -c %s "$work/object") stored"

cat <<END

It works. $store stays mounted at $point. Next:

  mkdir -p $point/$host/$date
  pg_dump orders > $point/$host/$date/orders.sql && bakfs confirm $point/$host/$date/orders.sql
  bakfs list
  bakfs umount $point

Keep the recovery sheet that bakfs init printed: with the host, its key is gone.
To stay: bakfs umount $point && chattr +i $point && bakfs mount
(then nothing can be put there by mistake while nothing is mounted)
END
if [ -d /run/systemd/system ]; then
    echo "At every boot: bakfs umount $point && systemctl enable --now bakfs"
fi
