#!/bin/bash
# Stops the daemons of start-rgw.sh by their pid files (RGW_DIR as there). WIPE=1 also removes state and logs.
set -u
D=${RGW_DIR:-${TMPDIR:-/tmp}/bakfs-rgw}
for name in rgw:radosgw osd:ceph-osd mon:ceph-mon; do
    file=$D/pid/${name%%:*}.pid
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    # the pid may long be somebody else's
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "${name#*:}"; then
        kill "$pid" 2>/dev/null
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep .1
        done
        kill -9 "$pid" 2>/dev/null
    fi
    rm -f "$file"
done
[ "${WIPE:-0}" = 1 ] && [ -e "$D/pid" ] && rm -rf "$D"
exit 0
