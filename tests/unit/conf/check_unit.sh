#!/bin/sh
# check_unit.sh SOURCE UNIT BAKFS: systemd accepts the unit, and nothing in it hides the mount from the host.
set -eu
source=$1 unit=$2 bakfs=$(realpath "$3")
command -v systemd-analyze >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# These make a mount namespace of the service's own (systemd.exec(5), PrivateMounts).
if grep -E '^(Protect(System|Home|Proc|KernelTunables|KernelModules|KernelLogs|ControlGroups)|Private(Tmp|Devices|Mounts|Users)|ProcSubset|(ReadWrite|ReadOnly|Inaccessible|Exec|NoExec)Paths|Bind(ReadOnly)?Paths|TemporaryFileSystem|Root(Directory|Image)|DynamicUser|MountFlags)=' "$source"; then
    echo "these would hide the mount from the host" >&2
    exit 1
fi
for needed in CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_DAC_READ_SEARCH; do
    grep -q "^CapabilityBoundingSet=.*$needed" "$source" || { echo "$needed is missing" >&2; exit 1; }
done
if grep -q '/usr/bin/bakfs' "$unit" && [ ! -e /usr/bin/bakfs ] && ! cmp -s "$source" "$unit"; then
    echo "the path of the program was not put in" >&2
    exit 1
fi
# The programs of the unit must exist for systemd-analyze: the one that was built stands in.
sed -E "s|^(Exec[A-Za-z]+=-?)[^ ]*/bakfs|\1$bakfs|" "$unit" > "$dir/bakfs.service"
out=$(systemd-analyze verify "$dir/bakfs.service" 2>&1) || { echo "$out" >&2; exit 1; }
if printf '%s\n' "$out" | grep -q 'bakfs\.service'; then
    printf '%s\n' "$out" >&2
    exit 1
fi
