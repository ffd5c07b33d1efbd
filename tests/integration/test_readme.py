"""Every command of the README's sections on backup, restore and guarantees, typed as printed on a machine like its reader's."""

import re

from case import Case, only
from machine import TOP, Machine, blocks

SECTIONS = ("How to back up", "How to restore", "What is guaranteed")
DOOR = 7480 # of the machine, to the S3 server

SCHEMA = """
create table orders (id int primary key, customer text not null, total numeric(10,2));
insert into orders select i, 'customer ' || i, i * 1.5 from generate_series(1, 2000) i;
"""


def sections(text):
    """{heading: its text} of a page in Markdown."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


@only("s3")
class Readme(Case):
    def setUp(self):
        super().setUp()
        self.printed_bucket("my-backups")
        self.m = Machine("db1", alone=True)
        self.addCleanup(self.m.close)

    def prepare(self):
        """A Debian with PostgreSQL, two databases and an application; the reader is root."""
        m = self.m
        m.door(DOOR, int(self.store.endpoint.rpartition(":")[2]))
        m.start_postgres("local all postgres peer\nlocal all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n")
        m.do("createdb orders && createdb users && createdb legacy", user="postgres")
        m.sql(SCHEMA, "orders")
        m.sql("create table users as select i id from generate_series(1, 100) i", "users")
        m.do("sqlite3 /var/lib/app.db 'create table t (i int); insert into t values (1)'")
        m.write("/srv/migrate.sh", "#!/bin/sh\nexec psql -qc 'alter table orders add column note text' orders\n", 0o755)
        # what the reader was told to put there; the S3 server here is not AWS
        m.write("/etc/bakfs/environment", "AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\nAWS_ENDPOINT_URL=http://127.0.0.1:%d\n" % (
            self.store.access, self.store.secret, DOOR), 0o600)
        m.do("chmod 755 /etc/bakfs")

    def test_every_command(self):
        page = sections((TOP / "README.md").read_text(encoding="utf8"))
        scripts = [(name, block) for name in SECTIONS for block in blocks(page[name])]
        self.assertGreater(len(scripts), 8)
        for name in SECTIONS:
            self.assertIn(name, [s[0] for s in scripts], "a section without a command")
        self.prepare()
        typed = ["cd /root"]
        for i, (_, block) in enumerate(scripts): # one shell, as its reader has it
            typed += ["echo '=== %d'" % i, block]
        code, said = self.m.shell("\n".join(typed), timeout=300)
        at = int(re.findall(r"^=== (\d+)$", said, re.M)[-1])
        self.assertEqual(code, 0, "'%s', the command is in:\n%s\n%s" % (*scripts[at], said))
        self.look(said)

    def look(self, said):
        """What the commands made is there."""
        self.assertGreaterEqual(len(re.findall(r"^PASS", said, re.M)), 4, said)
        sql = self.m.sql
        for copy in ("orders", "orders_copy"):
            self.assertEqual(sql("select count(*), sum(total) from orders", copy), "2000|3001500.00")
        kept = sql("select count(*) from pg_database where datname like 'orders_before_%'")
        self.assertEqual(kept, "1")
