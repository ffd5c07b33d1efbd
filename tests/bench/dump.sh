#!/bin/bash
# Makes a plain SQL dump of a pgbench database: dump.sh OUTPUT [SCALE]. Scale 70 gives about 1 GB. pgbench's own rows are
# nearly all padding, so a table of events (words, numbers, hashes, JSON) stands beside them: a third of the dump.
# A server of its own is started for it in a temporary directory, on a socket only, and removed afterwards.
# Debian packages: postgresql-15 postgresql-contrib.
set -eu
out=${1:?usage: dump.sh OUTPUT [SCALE]}
scale=${2:-70}
bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
    echo "dump.sh: no PostgreSQL server here: apt-get install postgresql-15 postgresql-contrib" >&2
    exit 77
fi
as=()
[ "$(id -u)" != 0 ] || as=(runuser -u postgres --)
dir=$(mktemp -d "${TMPDIR:-/tmp}/bakfs-bench-pg.XXXXXX")
[ "$(id -u)" != 0 ] || chown postgres "$dir"
stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap stop EXIT
cd "$dir"
"${as[@]}" "$bin/initdb" -D "$dir/data" -A trust -U postgres --no-sync >"$dir/initdb.log" 2>&1
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/server.log" \
    -o "-c listen_addresses= -c unix_socket_directories=$dir -c fsync=off -c max_wal_size=8GB -c wal_level=minimal -c max_wal_senders=0" \
    start >/dev/null
"${as[@]}" "$bin/createdb" -h "$dir" -U postgres bench
"${as[@]}" "$bin/pgbench" -h "$dir" -U postgres -i -q -s "$scale" bench >"$dir/pgbench.log" 2>&1
"${as[@]}" "$bin/psql" -h "$dir" -U postgres -q -v ON_ERROR_STOP=1 -v rows=$((scale * 14500)) bench >/dev/null <<'SQL'
SELECT setseed(0.5);
CREATE TABLE events AS
SELECT id,
       timestamptz '2026-01-01' + id * interval '37 seconds' + random() * interval '30 seconds' AS at,
       (ARRAY['login', 'logout', 'order placed', 'order paid', 'order shipped', 'refund'])[1 + floor(random() * 6)::int] AS kind,
       round((random() * 1000)::numeric, 2) AS amount,
       jsonb_build_object('session', md5(random()::text), 'customer', floor(random() * 200000)::int,
                          'country', (ARRAY['DE', 'FR', 'US', 'JP', 'BR'])[1 + floor(random() * 5)::int],
                          'agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:' || floor(random() * 40 + 80)::int || '.0)',
                          'items', (SELECT jsonb_agg(floor(random() * 50000)::int) FROM generate_series(1, 5 + id % 5))) AS detail,
       'Customer ' || floor(random() * 200000)::int || ' says: please deliver to the neighbour on floor ' || id % 9 AS note
FROM generate_series(1, :rows) AS id;
SQL
"${as[@]}" "$bin/pg_dump" -h "$dir" -U postgres -Fp bench >"$out.part"
mv "$out.part" "$out"
