"""Every verb has an example in its --help, and each of them is typed as printed, on a machine where its names exist."""

import re

import case
from case import Case, only
from machine import Machine, s3_env
from verbs import Inbox

# Their examples name stores s3://...; all other verbs, also those of tomorrow, are tried over a store dir:.
OVER_S3 = ("init", "mount", "policy")

CONF = """
[restore]
conninfo = user=postgres dbname=postgres
drill_conninfo = user=bakfs_drill dbname=postgres

[notify]
smtp = smtp://mail.example.com:2525
from = bakfs@db1.example.com
to = ops@example.com

[database orders]
conninfo = user=postgres dbname=orders

[database users]
conninfo = user=postgres dbname=users
format = directory
jobs = 2
"""


def verbs_of(machine):
    """{verb: its line} of bakfs help"""
    return dict(re.findall(r"^  ([a-z][a-z-]*) {2,}(\S.*)$", machine.do("bakfs help"), re.M))


def example_of(text):
    """The indented lines under "Example", as they are typed."""
    lines, out = text.split("\n"), []
    for i, line in enumerate(lines):
        if re.match(r"Examples?\b", line):
            for below in lines[i + 1 :]:
                if below.strip() and not below.startswith("  "):
                    break
                out.append(below[2:])
    return "\n".join(out).strip() + "\n" if out else ""


class Typed(Case):
    def type_example(self, machine, verb, text, answers=""):
        example = example_of(text)
        self.assertIn("bakfs " + verb if verb != "help" else "bakfs", example, "no example in --help of %s" % verb)
        code, said = machine.typed("cd $(mktemp -d); [ ! -e ~/migrate.sh ] || cp ~/migrate.sh .\n" + example, answers)
        self.assertEqual(code, 0, "the example of %s:\n%s\n%s" % (verb, example, said))
        return said


@only("dir")
class Help(Typed):
    # What must be there before, and what is answered at a terminal.
    BEFORE = {
        "keygen": "true",
        "prune": "bakfs backup orders",
    }
    ANSWERS = {"restore": "orders\ny\n", "prune": "y\n"}

    def setUp(self):
        super().setUp()
        self.inbox = Inbox()
        self.addCleanup(self.inbox.close)
        self.m = Machine("db1", alone=True)
        self.addCleanup(self.m.close)

    def prepare(self):
        """What the examples take for granted: db1 with the databases orders and users, one backup of each."""
        m = self.m
        m.door(2525, self.inbox.port)
        m.start_postgres("local all all trust\nhost all all 127.0.0.1/32 trust\n") # db2 is this one, too
        m.do("createuser -s root && createuser -d bakfs_drill && createdb orders && createdb users", user="postgres")
        for database in ("orders", "users"):
            m.sql("create table %s (id int primary key, total numeric);"
                  "insert into %s select i, i * 1.5 from generate_series(1, 500) i" % (database, database), database)
        m.do("install -d -m 700 /media/stick && bakfs keygen -o /media/stick/escrow.txt")
        m.do("bakfs init --escrow $(grep -o 'age1.*' /media/stick/escrow.txt)")
        m.write("/etc/bakfs/bakfs.conf", m.read("/etc/bakfs/bakfs.conf") + CONF)
        m.write("/root/migrate.sh", "#!/bin/sh\nexec psql -qc 'alter table orders add column note text' orders\n", 0o755)
        m.do("bakfs mount")
        m.do("mkdir -p /mnt/bak/db1/$(date -u +%F) && pg_dump -f /mnt/bak/db1/$(date -u +%F)/legacy.sql orders")
        m.do("bakfs backup orders && bakfs backup users")
        # one of before yesterday 03:00: the name says how old it is, and META lists its files under that name
        m.do("new=/mnt/bak/db1/$(date -u +%F)/orders; stamp=$(date -u -d '3 days ago' +%Y%m%dT031500Z); "
             "old=/mnt/bak/db1/$(date -u -d '3 days ago' +%F)/orders; mkdir -p $old; cd $new; "
             "for f in *; do mv $f $old/db1.$stamp.${f#db1.*Z.}; done; meta=$old/db1.$stamp.orders.META; "
             "sed '$d' $meta | sed \"s/db1[.][0-9TZ]*[.]orders/db1.$stamp.orders/g\" > /tmp/meta; "
             "printf 'sha256 = %s\\n' $(sha256sum < /tmp/meta | cut -c1-64) >> /tmp/meta; cat /tmp/meta > $meta; "
             "bakfs verify --all --quick && bakfs backup orders")

    def test_every_example(self):
        self.prepare()
        todo = [v for v in verbs_of(self.m) if v not in OVER_S3]
        self.assertIn("list", todo)
        for verb in todo:
            with self.subTest(verb=verb):
                self.m.do("mountpoint -q /mnt/bak || bakfs mount")
                self.m.do(self.BEFORE.get(verb, "true"))
                text = self.m.do("bakfs %s --help" % verb)
                self.type_example(self.m, verb, text, self.ANSWERS.get(verb, ""))

    @case.short
    def test_help_is_told_in_every_way_and_a_wrong_option_is_2(self):
        for verb in verbs_of(self.m):
            with self.subTest(verb=verb):
                text = self.m.do("bakfs %s --help" % verb)
                self.assertTrue(text.startswith("Usage: bakfs %s" % verb), text)
                self.assertTrue(example_of(text), text)
                self.assertLessEqual(max(map(len, text.split("\n"))), 110, "%s: too wide for a terminal" % verb)
                for other in ("bakfs help %s", "bakfs %s -h"):
                    self.assertEqual(self.m.do(other % verb), text)
                code, said = self.m.shell("bakfs %s --no-such-option" % verb)
                self.assertEqual(code, 2, said)
                self.assertIn("--help", said)

    def test_without_a_mount_each_says_what_to_type(self):
        """What a verb says when the mount is missing is what it is asked for at 3 AM."""
        self.m.do("bakfs init --no-escrow")
        for verb in verbs_of(self.m):
            if verb not in ("list", "status", "verify"):
                continue
            with self.subTest(verb=verb):
                code, said = self.m.shell("bakfs %s" % verb)
                self.assertEqual(code, 1, said)
                self.assertIn("bakfs mount", said)


@only("s3")
class HelpOfStores(Typed):
    """bakfs help, init and mount: their stores are buckets."""

    def setUp(self):
        super().setUp()
        for name in ("backups", "my-backups"):
            self.printed_bucket(name)

    def machine(self):
        m = Machine("db1", s3_env(self.store))
        self.addCleanup(m.close)
        return m

    def test_examples(self):
        for verb in OVER_S3 + ("help",):
            with self.subTest(verb=verb):
                m = self.machine()
                m.start_postgres()
                m.do("createuser -s root && createdb orders", user="postgres")
                if verb == "policy":
                    m.do("bakfs init --store s3://backups")
                if verb == "mount":
                    m.do("bakfs init --store s3://backups")
                    m.do("sed -i 's/^point = .*/#point =/' /etc/bakfs/bakfs.conf") # DIR stands on the command line
                text = m.do("bakfs help" if verb == "help" else "bakfs %s --help" % verb)
                said = self.type_example(m, verb, text, "\n") # the question for an escrow recipient
                if verb == "init":
                    self.assertIn("RECOVERY SHEET", said)
                elif verb != "policy":
                    m.do("mountpoint -q /mnt/bak && ls /mnt/bak")
                    m.do("bakfs umount /mnt/bak")
