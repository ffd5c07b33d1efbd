#!/bin/bash
# Starts a Ceph object gateway of its own (one monitor, one OSD in memory, radosgw) on 127.0.0.1 and makes a bucket in
# it: a real S3 server for the tests, ready in about 15 s. Run again it says what runs already.
#
#   eval "$(tests/support/start-rgw.sh)"     sets RGW_ENDPOINT RGW_ACCESS_KEY RGW_SECRET_KEY RGW_BUCKET RGW_STATE
#
# Debian packages: radosgw ceph-mon ceph-osd ceph-common curl iproute2.
# Environment: RGW_DIR     state and logs (default TMPDIR/bakfs-rgw)
#              RGW_PORT, RGW_MON_PORT, RGW_OSD_PORT   else free ones are chosen
#              RGW_BUCKET  the bucket made (default bakfs-test)
# An OSD in memory forgets everything when it stops: a stopped cluster is made anew, empty.
set -eu
umask 022
D=${RGW_DIR:-${TMPDIR:-/tmp}/bakfs-rgw}
P=$D/pid
L=$D/log
here=$(dirname "$(readlink -f "$0")")
export CEPH_CONF=$D/ceph.conf
ACCESS='test'
SECRET=testsecret
BUCKET=${RGW_BUCKET:-bakfs-test}
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY

die() {
    echo "start-rgw.sh: $*" >&2
    tail -n 5 "$L"/*.out "$L"/*.log >&2 2>/dev/null || true
    RGW_DIR=$D "$here/stop-rgw.sh" || true
    exit 1
}
for tool in radosgw radosgw-admin ceph-mon ceph-osd ceph monmaptool curl ss; do
    command -v "$tool" >/dev/null ||
        { echo "start-rgw.sh: $tool is missing: apt-get install radosgw ceph-mon ceph-osd ceph-common curl iproute2" >&2; exit 77; }
done

alive() { # a pid file whose process is still the program it was
    local pid
    [ -s "$P/$1.pid" ] || return 1
    pid=$(cat "$P/$1.pid")
    kill -0 "$pid" 2>/dev/null && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$2"
}
free_ports() { # the first of `count` free ports in a row, at or above `from`
    local port=$1 count=$2 i
    while :; do
        for ((i = 0; i < count; i++)); do
            [ -z "$(ss -ltnH "sport = :$((port + i))")" ] || break
        done
        [ "$i" = "$count" ] && { echo "$port"; return; }
        port=$((port + i + 1))
    done
}
spawn() {
    local name=$1 program=$2
    shift
    alive "$name" "$program" && return 0
    (
        cd "$D" || exit 1
        setsid nohup "$@" >>"$L/$name.out" 2>&1 </dev/null &
        echo $! >"$P/$name.pid"
    )
}
until_ok() { # seconds, then a command: again until it succeeds or the time is over
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep .2
    done
}
say() {
    printf 'RGW_ENDPOINT=%s RGW_ACCESS_KEY=%s RGW_SECRET_KEY=%s RGW_BUCKET=%s RGW_STATE=%s\n' \
        "http://127.0.0.1:$PORT" "$ACCESS" "$SECRET" "$BUCKET" "$D"
}
gateway_up() { curl -s -o /dev/null --max-time 5 "http://127.0.0.1:$PORT/"; }
osd_up() { timeout 10 ceph --connect-timeout 5 osd stat | grep -q '1 up'; }
mon_up() { timeout 10 ceph --connect-timeout 5 mon stat; }
make_bucket() {
    curl -sf --max-time 60 -X PUT --user "$ACCESS:$SECRET" --aws-sigv4 aws:amz:us-east-1:s3 \
        -H 'x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' \
        "http://127.0.0.1:$PORT/$1"
}

if [ -s "$D/ready" ] && alive mon ceph-mon && alive osd ceph-osd && alive rgw radosgw; then
    PORT=$(cat "$D/ready")
    make_bucket "$BUCKET" || die "cannot make the bucket $BUCKET"
    say
    exit 0
fi
RGW_DIR=$D "$here/stop-rgw.sh"
rm -rf "$D/mon" "$D/osd" "$D/rgw" "$D/run" "$D/ready" "$D/log" "$D/ceph.conf" "$D/monmap"
mkdir -p "$D" "$P" "$L" "$D/mon" "$D/osd" "$D/rgw" "$D/run"

PORT=${RGW_PORT:-$(free_ports 7480 1)}
MON=${RGW_MON_PORT:-$(free_ports 13300 1)}
OSD=${RGW_OSD_PORT:-$(free_ports 13310 24)}
FSID=$(cat /proc/sys/kernel/random/uuid)
OSD_UUID=$(cat /proc/sys/kernel/random/uuid)
# radosgw insists on ms_mon_client_mode=secure unless told otherwise, and hangs without keys; without tcp_nodelay
# keep-alive clients stall for 40 ms on every small answer
cat >"$CEPH_CONF" <<CONF
[global]
fsid = $FSID
mon_host = v2:127.0.0.1:$MON/0
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
ms_bind_msgr1 = false
ms_bind_ipv4 = true
ms_bind_port_min = $OSD
ms_bind_port_max = $((OSD + 23))
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
osd_crush_chooseleaf_type = 0
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_osd_full_ratio = .97
mon_max_pg_per_osd = 1000
run_dir = $D/run
admin_socket = $D/run/\$name.\$pid.asok
log_file = $L/\$name.log
crash_dir = $D/crash
setuser_match_path = /
debug_ms = 0/0
ms_crc_data = false
[mon]
mon_data = $D/mon
mon_cluster_log_file = $L/cluster.log
[osd]
osd_data = $D/osd
osd_objectstore = memstore
memstore_device_bytes = ${RGW_MEMORY:-16106127360}
osd_max_object_name_len = 2048
osd_crush_update_on_start = true
osd_class_load_list = *
osd_class_default_list = *
osd_numa_auto_affinity = false
[client.rgw]
rgw_data = $D/rgw
rgw_frontends = beast endpoint=127.0.0.1:$PORT tcp_nodelay=1
rgw_enable_usage_log = false
rgw_thread_pool_size = 64
rgw_dns_name = localhost
rgw_verify_ssl = false
rgw_crypt_require_ssl = false
rgw_gc_obj_min_wait = 10
rgw_gc_processor_period = 15
rgw_lifecycle_work_time = 00:00-24:00
rgw_max_concurrent_requests = 1024
debug_rgw = 1/1
CONF
monmaptool --create --addv a "[v2:127.0.0.1:$MON]" --fsid "$FSID" --clobber "$D/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$D/monmap" >>"$L/mon-mkfs.out" 2>&1 || die "ceph-mon --mkfs failed"
spawn mon ceph-mon -f -i a
until_ok 60 mon_up || die "the monitor does not answer"
ceph osd new "$OSD_UUID" >/dev/null 2>>"$L/osd-new.out" || die "ceph osd new failed"
ceph-osd -i 0 --mkfs --osd-uuid "$OSD_UUID" >>"$L/osd-mkfs.out" 2>&1 || die "ceph-osd --mkfs failed"
spawn osd ceph-osd -f -i 0
until_ok 60 osd_up || die "the OSD does not come up"
spawn rgw radosgw -f -n client.rgw
until_ok 120 gateway_up || die "radosgw does not answer on port $PORT"
radosgw-admin user create --uid=test --display-name=test --access-key="$ACCESS" --secret-key="$SECRET" \
    --max-buckets=1000 >"$L/user.json" 2>>"$L/admin.err" || die "cannot make the user"
until_ok 60 make_bucket "$BUCKET" || die "cannot make the bucket $BUCKET"
echo "$PORT" >"$D/ready"
say
