#!/bin/bash
# check_verbs.sh BAKFS: the program's own side: usage, exit codes, keys, and what init makes. No mount is needed.
set -eu
bakfs=$(realpath "$1")
dir=$(mktemp -d)
clean() {
    chattr -i "$dir"/*/mnt 2>/dev/null || true
    rm -rf "$dir"
}
trap clean EXIT
cd "$dir"
unset BAKFS_CONF AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_REGION AWS_DEFAULT_REGION AWS_CA_BUNDLE

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    [ ! -e out ] || sed 's/^/  out: /' out >&2
    [ ! -e err ] || sed 's/^/  err: /' err >&2
    exit 1
}
# wants CODE ARGUMENT...: runs bakfs; its output is in out and err
wants() {
    local code=$1 got=0
    shift
    "$bakfs" "$@" >out 2>err </dev/null || got=$?
    [ "$got" = "$code" ] || fail "bakfs $*: exit code $got, not $code"
}
says() { grep -qF -- "$2" "$1" || fail "'$2' is not in $1"; }
says_not() { if grep -qF -- "$2" "$1"; then fail "'$2' is in $1"; fi; }

# --- usage ---
wants 2
says err "Usage: bakfs VERB"
wants 0 help
wants 0 --help
says out "3 a backup is not what it should be"
[ "$(grep -E '^  [a-z-]+  ' out | sed -E 's/^(  [a-z-]+ +).*/\1/' | awk '{print length}' | sort -u | wc -l)" = 1 ] ||
    fail "the columns of bakfs help"
wants 0 --version
grep -Eqx 'bakfs [0-9]+\.[0-9]+\.[0-9]+' out || fail "version"
for verb in init umount backup migrate list confirm status keygen doctor notify-test restore verify drill prune policy; do
    wants 0 "$verb" --help
    says out "Usage: bakfs $verb"
    says out "Example"
    awk 'length($0) > 93' out | grep -q . && fail "bakfs $verb --help is too wide"
    cp out help.1
    wants 0 help "$verb"
    cmp out help.1
    wants 2 "$verb" --no-such-option
    says err "hint: bakfs $verb --help"
done
wants 2 ilst
says err "did you mean list?"
wants 2 rekey
says err "not yet"
wants 2 $'x\e[31m'
says_not err $'\e'
wants 2 help nosuchverb
wants 2 confirm
wants 2 list a b c
wants 2 list ../etc
wants 2 umount a b
wants 2 keygen somewhere
wants 2 doctor somewhere
if [ -c /dev/full ]; then
    got=0
    "$bakfs" help >/dev/full 2>err || got=$?
    [ "$got" = 1 ] || fail "an answer that was lost: exit code $got"
fi

# --- keygen ---
umask 000
wants 0 keygen -o key
[ "$(stat -c %a key)" = 600 ] || fail "mode of a key: $(stat -c %a key)"
says err "Public key: age1"
grep -Eqx 'AGE-SECRET-KEY-1[A-Z0-9]{58}' key || fail "key file"
sed -n 's/^# public key: //p' key >public
cp key before
wants 1 keygen -o key
says err "never overwritten"
cmp key before
wants 1 keygen -o no/such/dir
wants 0 keygen
grep -Eqx 'AGE-SECRET-KEY-1[A-Z0-9]{58}' out || fail "key on the standard output"
says_not err "SECRET"
if command -v age >/dev/null; then
    [ "$(age-keygen -y key)" = "$(cat public)" ] || fail "age reads another public key"
    echo secret | age -r "$(cat public)" | age -d -i key | grep -qx secret || fail "age and our key"
fi
umask 022

# --- init ---
wants 0 init -c a/conf --store dir:"$dir/a/store" --mount "$dir/a/mnt" --state "$dir/a/state"
says out "RECOVERY SHEET"
says out "set -o pipefail"
[ "$(grep -c AGE-SECRET-KEY-1 out)" = 2 ] || fail "the escrow key is shown once" # and named in step 1
host_key=$(grep AGE-SECRET a/identity.txt)
says_not out "$host_key"
says_not err "$host_key"
[ "$(stat -c %a a/identity.txt)" = 600 ] || fail "mode of the identity"
[ "$(stat -c %a a/store)" = 700 ] || fail "mode of the store"
[ "$(grep -c '^age1' a/recipients.txt)" = 2 ] || fail "two recipients"
says a/conf "url = dir:$dir/a/store"
says a/conf "point = $dir/a/mnt"
if [ "$(id -u)" = 0 ]; then
    [ "$(stat -c %a a/mnt)" = 0 ] || fail "mode of the mount point"
fi
if grep -q immutable out && touch a/mnt/file 2>/dev/null; then
    fail "a file could be put under the missing mount"
fi
escrow=$(sed -n 's/^ *\(AGE-SECRET-KEY-1[A-Z0-9]*\)$/\1/p' out)
if command -v age >/dev/null; then
    # What is sealed for the recipients opens with the escrow key from the sheet alone, and with the host's.
    echo "$escrow" >escrow.txt
    for key in escrow.txt a/identity.txt; do
        echo data | age -R a/recipients.txt | age -d -i $key | grep -qx data || fail "$key does not open"
    done
fi

# the configuration it wrote is one that the other verbs take
wants 1 list -c a/conf
says err "nothing is mounted there"
wants 1 umount -c a/conf
says err "nothing is mounted there"
wants 0 umount --lazy -c a/conf
wants 1 confirm -c a/conf "$dir/a/mnt/db1/file"
says err "hint: no bakfs is mounted at $dir/a/mnt"
BAKFS_CONF=$dir/a/conf wants 1 list
says err "$dir/a/mnt: nothing is mounted there"

wants 0 init -c n/conf --store dir:"$dir/n/store" --mount "$dir/n/mnt" --state "$dir/n/state" --no-immutable
says_not out immutable
rmdir n/mnt || fail "an immutable mount point, against --no-immutable"

# it overwrites nothing, and a key that is there is used
wants 1 init -c a/conf --store dir:"$dir/other" --mount "$dir/other-mnt"
says err "there already"
[ ! -e other ] || fail "made something before it refused"
rm a/conf
wants 1 init -c a/conf --store dir:"$dir/a/store" --mount "$dir/a/mnt" --state "$dir/a/state"
says err "recipients.txt is there already"
mv a/recipients.txt a/old
wants 0 init -c a/conf --store dir:"$dir/a/store" --mount "$dir/a/mnt" --state "$dir/a/state" --no-escrow
says out "NO ESCROW KEY"
says_not out AGE-SECRET-KEY
says a/identity.txt "$host_key"
[ "$(grep -c '^age1' a/recipients.txt)" = 1 ] || fail "one recipient"

# refusals leave nothing
refused() {
    local sentence=$1
    shift
    wants 1 init -c "$dir/r/conf" "$@"
    says err "$sentence"
    for file in conf identity.txt recipients.txt; do
        [ ! -e "r/$file" ] || fail "$file was left"
    done
}
refused "is not dir:/path or s3://bucket" --store /plain/path
refused "is not an absolute path" --store "dir:$dir/r/store" --mount relative
refused "below the mount point" --store "dir:$dir/r/mnt/store" --mount "$dir/r/mnt"
refused "the escrow recipient" --store "dir:$dir/r/store" --mount "$dir/r/mnt" --state "$dir/r/state" --escrow age1nonsense
[ ! -e r ] || fail "directories were made before the arguments were judged"
mkdir -p full && touch full/file
refused "is not empty" --store "dir:$dir/r/store" --mount "$dir/full" --state "$dir/r/state"
refused "mounted at /proc already" --store "dir:$dir/r/store" --mount /proc --state "$dir/r/state"
wants 2 init --escrow age1x --no-escrow
wants 2 init --endpoint http://h
wants 2 init something

# S3: the sheet has the endpoint; what a shell would take apart is quoted
wants 0 init -c s/conf --store s3://bucket/pre --endpoint http://h:1 --region here --escrow "$(cat public)" \
    --mount "$dir/s/mnt" --state "$dir/s/state"
says out "aws --endpoint-url 'http://h:1' s3 cp s3://bucket/pre/HOST"
says out "AWS_REGION=here"
says_not out AGE-SECRET-KEY
says s/recipients.txt "$(cat public)"
says s/conf "endpoint = http://h:1"

# --- confirm ---
wants 1 confirm /etc/passwd
says err "not on a bakfs mount"
wants 1 confirm /nonexistent
says err "no such file"
# An attribute that somebody set elsewhere proves nothing.
echo x >forged
if setfattr -n user.bakfs.state -v sealed forged 2>/dev/null; then
    wants 1 confirm forged
    says err "not on a bakfs mount"
fi
wants 1 confirm /etc/passwd /nonexistent
[ "$(wc -l <err)" = 2 ] || fail "one sentence for each path"
