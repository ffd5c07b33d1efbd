"""bakfs backup: what it makes, of which snapshot, and that a failure leaves nothing that looks like a backup."""

import configparser
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

import case
import mount
from case import both_stores, only, wait_until
from verbs import Inbox, VerbCase

SCHEMA = '''
create table orders (id serial primary key, item text not null, at timestamptz default now());
insert into orders (item) select 'item ' || i from generate_series(1, 1000) i;
create table "Weird ""table""" ("a=b" int);
create view recent as select * from orders where at > now() - interval '1 day';
'''


class BackupCase(VerbCase):
    def setUp(self):
        super().setUp()
        self.inbox = Inbox()
        self.addCleanup(self.inbox.close)

    def sections(self, **keys):
        orders = {"conninfo": self.conninfo("orders"), "host": "db1", **keys}
        notify = {"smtp": self.inbox.url, "from": "bakfs@example.com", "to": "ops@example.com", "on": "always"}
        return {"database orders": orders, "notify": notify}

    def meta(self, path):
        """META as anybody reads it: its end by sha256sum, the rest by INI."""
        with open(path, "rb") as f:
            data = f.read()
        body, _, last = data[:-1].rpartition(b"\n")
        self.assertEqual(last.decode(), "sha256 = " + hashlib.sha256(body + b"\n").hexdigest())
        ini = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes=";", interpolation=None)
        ini.read_string(data.decode())
        lines = data.decode().split("\n")
        facts = [line.split(" = ", 1) for line in lines[lines.index("[facts]") + 1 : lines.index("[end]")]]
        files = [line.split(" = ", 1)[1].split("\t") for line in lines if line.startswith("file = ")]
        return ini["meta"], files, [(kind, *rest.split("\t")) for kind, rest in facts]

    def answer_of(self, said):
        """The parts of one backup from the answer of --json."""
        answer = json.loads(said)
        stem = answer["meta"][: -len(".META")]
        self.assertEqual(os.path.basename(stem).split(".")[1], answer["at"])
        return answer, stem

    def fails(self, *words, says, mails=1, code=1):
        """One clear sentence, a FAIL mail, and nothing that looks like a backup."""
        said = self.bakfs("backup", "orders", *words, code=code)
        self.assertRegex(said, says)
        self.assertRegex(said.splitlines()[0], r"^bakfs backup: ")
        self.assertIn("hint: ", said)
        self.nothing_left()
        wait_until(lambda: len(self.inbox.mails) >= mails)
        self.assertTrue(self.inbox.subjects()[-1].startswith("FAIL bakfs backup orders"), self.inbox.subjects())
        return said

    def nothing_left(self):
        self.assertEqual([k for k in self.store.keys() if k.startswith("db1/")], [])
        wait_until(lambda: self.store.uploads() == [])

    def connections(self):
        return self.pg.query("postgres", "select count(*) from pg_stat_activity where application_name like 'bakfs%'")


@both_stores
class Backup(BackupCase):
    @case.short
    def test_all_three_formats(self):
        self.make_database("orders", SCHEMA)
        sections = self.sections(**{"check.items": "select count(*), min(item) from public.orders"})
        for name, keys in (("plain", {"format": "plain"}), ("folder", {"format": "directory", "jobs": "2"})):
            sections["database " + name] = dict(sections["database orders"], **keys)
        m = self.ready(sections)
        for name, suffix in (("orders", ".dump"), ("plain", ".sql"), ("folder", ".dir")):
            answer, stem = self.answer_of(self.bakfs("backup", name, "--json"))
            self.assertEqual(answer["dump"], stem + suffix)
            meta, files, facts = self.meta(m.path(answer["meta"]))
            self.assertEqual((meta["name"], meta["host"], meta["partition"], meta["engine"]), (name, "db1", name, "postgresql"))
            self.assertEqual(meta["database"], "orders")
            self.assertTrue(meta["dump_tool"].startswith("pg_dump (PostgreSQL)"), meta["dump_tool"])
            self.assertIn(("rows", "public.orders", "1000"), facts)
            self.assertIn(("check", "items", "1000\\titem 1"), facts)
            self.assertTrue(any(f[0] == "column" for f in facts))
            # every file of it, with the digest that the daemon tells, and nothing else
            top = os.path.dirname(m.path(answer["meta"]))
            there = {n for n in self.names_below(os.path.dirname(answer["meta"])) if not n.endswith(".META")}
            self.assertEqual({f[0] for f in files}, there)
            for file, size, digest in files:
                path = os.path.join(top, file)
                self.assertEqual(os.stat(path).st_size, int(size))
                self.assertEqual(os.getxattr(path, "user.bakfs.digest").decode(), digest)
            if suffix == ".sql":
                self.assertEqual(os.getxattr(m.path(answer["dump"]), "user.bakfs.complete"), b"yes")
            with open(m.path(stem + ".schema.sql"), encoding="utf8") as f:
                self.assertIn("CREATE TABLE public.orders", f.read())
            with open(m.path(stem + ".globals.sql"), encoding="utf8") as f:
                self.assertIn("CREATE ROLE postgres", f.read())
            self.assertEqual(os.readlink(m.path("db1/latest", name)).split("/")[-1], name)
            self.assertIn("whole", self.bakfs("confirm", m.path(os.path.dirname(answer["dump"]))))
        self.restores(m.path(answer["dump"]))
        self.assertEqual(len([s for s in self.inbox.subjects() if s.startswith("PASS bakfs backup")]), 3)
        self.assertEqual(self.connections(), "0")

    def restores(self, dump):
        self.make_database("again")
        self.pg.run("pg_restore", "-e", "-d", "again", dump)
        self.assertEqual(self.pg.query("again", "select count(*) from orders"), "1000")

    def test_a_failure_leaves_nothing(self):
        self.make_database("orders", SCHEMA)
        m = self.ready(self.sections())
        self.pg.query("orders", "create function bad() returns int language sql as 'select 1'")
        with self.no_tool(m):
            self.fails(says=r"pg_dump exited with 3: pg_dump: error: the disk is on fire")
        self.bakfs("backup", "orders")
        wait_until(lambda: self.inbox.subjects()[-1].startswith("PASS"))

    def no_tool(self, m):
        return FakeTools(self, m)


class FakeTools:
    """pg_dump that writes for a while and fails: a bindir in the configuration."""

    def __init__(self, case_, m, script='echo "pg_dump: error: the disk is on fire" >&2; exit 3'):
        self.case, self.mounted = case_, m
        self.dir = os.path.join(case_.tmp, "bin")
        os.makedirs(self.dir, exist_ok=True)
        real = case_.pg.tool("pg_dump")
        with open(os.path.join(self.dir, "pg_dump"), "w", encoding="ascii") as f:
            f.write('#!/bin/bash\ncase "$*" in *--version*) exec %s --version ;; *" -s") exec %s "$@" ;; esac\n'
                    'for f; do :; done\nhead -c 40000000 /dev/urandom > "$f"\n%s\n' % (real, real, script))
        os.chmod(os.path.join(self.dir, "pg_dump"), 0o755)
        shutil.copy(case_.pg.tool("pg_dumpall"), os.path.join(self.dir, "pg_dumpall"))

    def __enter__(self):
        with open(self.mounted.conf, encoding="utf8") as f:
            self.before = f.read()
        with open(self.mounted.conf, "w", encoding="utf8") as f:
            f.write(self.before.replace("[database orders]\n", "[database orders]\nbindir = %s\n" % self.dir))
        return self

    def __exit__(self, *_):
        with open(self.mounted.conf, "w", encoding="utf8") as f:
            f.write(self.before)
