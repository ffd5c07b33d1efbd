"""A dump that stops short is stored, and called so: xattr, log, latest/, list."""

import json
import os

import case
from case import MIB, Case, both_stores, put_file, wait_until

DATES = ("2024-11-20", "2024-11-21", "2024-11-22")
KEY = "76TApbmhFA4GYhpCnn7Xb0ax6TOGXqzoccPo7pHYcKnS3yCeA3MzF6lE7YCNeff"


def pg_dump(size):
    """As pg_dump 15.18 writes it, with about `size` bytes of rows."""
    row = "%d\tcustomer\t2026-11-22 03:15:00\t\\N\n"
    rows = "".join(row % i for i in range(size // len(row % 100000) + 1))
    return (
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict %s\n\n-- Dumped from database version 15.18\n"
        "-- Dumped by pg_dump version 15.18\n\nSET statement_timeout = 0;\n\nCOPY public.t (i, x) FROM stdin;\n%s\\.\n\n\n"
        "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict %s\n\n" % (KEY, rows, KEY)
    ).encode()


def pg_dumpall(size):
    one = pg_dump(size // 2)
    head = b"--\n-- PostgreSQL database cluster dump\n--\n\nSET default_transaction_read_only = off;\n\n"
    between = b'--\n-- Database "%s" dump\n--\n\n\\connect %s\n\n'
    end = b"--\n-- PostgreSQL database cluster dump complete\n--\n\n"
    return head + between % (b"a", b"a") + one + between % (b"b", b"b") + one + end


def mysqldump(size):
    row = b"INSERT INTO `t` VALUES (17,'three');\n"
    return (
        b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu\n--\n"
        + row * (size // len(row) + 1) + b"\n-- Dump completed on 2026-11-22  3:15:00\n"
    )


MAKERS = {"orders": pg_dump, "all": pg_dumpall, "shop": mysqldump}


def in_pieces(data):
    return [data[i : i + MIB] for i in range(0, len(data), MIB)] or [b""]


def complete(path):
    return os.getxattr(path, "user.bakfs.complete").decode()


@both_stores
class Complete(Case):
    @case.short
    def test_whole_and_cut(self):
        m = self.mount()
        for name, make in MAKERS.items():
            whole = make(300_000)
            put_file(m.make("db1", DATES[0], name + ".sql"), in_pieces(whole))
            cuts = {DATES[1]: len(whole) - 300, DATES[2]: len(whole) * 2 // 5}
            for date, cut in cuts.items():
                put_file(m.make("db1", date, name + ".sql"), in_pieces(whole[:cut]))
            for _ in range(2):
                self.assertEqual(complete(m.path("db1", DATES[0], name + ".sql")), "yes", name)
                for date, cut in cuts.items():
                    path = m.path("db1", date, name + ".sql")
                    self.assertEqual(complete(path), "no", name)
                    with open(path, "rb") as f:  # the bytes are the user's
                        self.assertEqual(f.read(), whole[:cut])
                self.assertEqual(os.readlink(m.path("db1/latest", name)), "../%s/%s.sql" % (DATES[0], name))
                m.restart()
            lines = [line for line in m.log().splitlines() if "warning" in line and name + ".sql" in line]
            self.assertEqual(len(lines), 2, m.log())

    def test_larger_than_the_head(self):
        m = self.mount({"write": {"head": "1M"}})
        for i, make in enumerate(MAKERS.values()):
            whole = make(9 * MIB)
            for cut, said in ((len(whole), "yes"), (len(whole) - 100, "no"), (5 * MIB, "no"), (4 * MIB + 10, "no")):
                path = m.make("db1", DATES[0], "x%d.%d.sql" % (i, cut))
                put_file(path, in_pieces(whole[:cut]))
                # a cut of 100 bytes may leave pg_dump's mark, and cut off only what comes after it
                self.assertIn(complete(path), (said, "unknown") if cut == len(whole) - 100 else (said,), path)
        m.restart()
        self.assertEqual(complete(m.path("db1", DATES[0], "x0.%d.sql" % len(pg_dump(9 * MIB)))), "yes")

    def test_judged_by_what_is_stored_in_the_end(self):
        """Rewritten heads, appended tails: what counts is the file as it is when it is committed."""
        m = self.mount()
        whole = pg_dump(200_000)
        path = m.make("db1", DATES[0], "late.sql")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"x" * 64 + whole[64:])
        os.pwrite(fd, whole[:64], 0)
        os.close(fd)
        self.assertEqual(complete(path), "yes")
        self.run_ok("bash", "-c", 'head -c 100000 "$1" > "$2"; tail -c +100001 "$1" >> "$2"', "-",
                    self.file("whole.sql", whole), path)
        self.assertEqual(complete(path), "yes")
        self.run_ok("truncate", "-s", "100000", path)
        self.assertEqual(complete(path), "no")

    def test_the_rest_is_unknown_and_nothing_is_no(self):
        m = self.mount()
        for name, data, said in (("a.dump", b"PGDMP\x01\x0e\x00" + bytes(5000), "unknown"), ("a.sql.gz", b"\x1f\x8b\x08" + bytes(99), "unknown"),
                                 ("a.csv", b"1,2,3\n", "unknown"), ("a.sql", b"", "no")):
            path = m.make("db1", DATES[0], name)
            put_file(path, in_pieces(data))
            # an empty file is stored by its last release, which nobody waits for
            wait_until(lambda p=path: os.getxattr(p, "user.bakfs.state") == b"sealed")
            self.assertEqual(complete(path), said, name)

    def test_empty_files_of_a_data_directory(self):
        """Of pg_basebackup -Fp many files are empty: that makes no bad backup of it. An empty dump does."""
        m = self.mount()
        for date in DATES[:2]:
            for name, data in (("PG_VERSION", b"15\n"), ("standby.signal", b""), ("base/5/2619", b"")):
                put_file(m.make("db1", date, "cluster", name), [data])
            put_file(m.make("db1", date, "orders/orders.sql"), [pg_dump(1000)])
        put_file(m.make("db1", DATES[1], "orders/users.sql"), [b""])
        m.restart()
        self.assertEqual(os.readlink(m.path("db1/latest/cluster")), "../%s/cluster" % DATES[1])
        self.assertEqual(os.readlink(m.path("db1/latest/orders")), "../%s/orders" % DATES[0])

    @case.short
    def test_list_does_not_let_it_be_overlooked(self):
        m = self.mount()
        whole = pg_dump(50_000)
        put_file(m.make("db1", DATES[0], "orders.sql"), [whole])
        code, said = m.verb("list", "-c", m.conf)
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"orders\.sql.* yes\n")
        self.assertNotIn("stopped short", said)
        put_file(m.make("db1", DATES[1], "orders.sql"), [whole[:-200]])
        put_file(m.make("db1", DATES[1], "big/orders.sql"), [whole[:1000]])
        code, said = m.verb("list", "-c", m.conf)
        self.assertEqual(code, 0, said)
        self.assertEqual(said.count(" NO\n"), 2, said)
        self.assertIn("2 of these are no backup: the dump stopped short", said)
        self.assertIn("  db1/%s/orders.sql\n" % DATES[1], said)
        code, said = m.verb("list", "db1", "orders", "--json", "-c", m.conf)
        self.assertEqual(code, 0, said)
        self.assertEqual([row["complete"] for row in json.loads(said)], ["yes", "no"])

    def file(self, name, data):
        path = os.path.join(self.tmp, name)
        with open(path, "wb") as f:
            f.write(data)
        return path
