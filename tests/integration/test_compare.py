"""A restored database against what was known of the one that was dumped: what is damaged is named, what is whole is
not called damaged. Over the zoo (sql/zoo.sql) and over PostgreSQL's own regression database."""

import concurrent.futures
import contextlib
import glob
import os
import shutil
import subprocess
import tarfile
import tempfile

import mount
from case import only, short
from postgres import Postgres
from verbs import VerbCase, shared_postgres

HERE = os.path.dirname(os.path.abspath(__file__))
ZOO = os.path.join(HERE, "sql", "zoo.sql")
OF_SUPERUSER = os.path.join(HERE, "sql", "zoo_superuser.sql")
OF_DATABASE = os.path.join(HERE, "sql", "zoo_database.sql")

# what is done to a restored zoo: the line that says so, and each further one of what goes with it
DAMAGES = [
    ("delete from shop.customers where id = 20", "rows shop.customers: 19, was 20"),
    ("insert into shop.orders (customer) values (1)", "rows shop.orders: 96, was 95",
     "sequence value shop.orders_id_seq: 101, was 100"),
    ("truncate shop.events_2026", "rows shop.events_2026: 0, was 60"),
    ("delete from shop.scratch where a = 1", "unlogged shop.scratch: 4, was 5"),
    ("delete from \"Weird \"\"schema\"\"\".\"Weird \"\"table\"\"\"",
     "rows \"Weird \"\"schema\"\"\".\"Weird \"\"table\"\"\": 0, was 1"),
    ("alter table shop.child alter c type bigint", "column shop.child.c: bigint, was integer"),
    ("alter table shop.parent alter b type varchar(21)", "column shop.parent.b: character varying(21), was text",
     "column shop.child.b: character varying(21) inherited, was text inherited"),
    ("alter table shop.child drop c", "column shop.child.c: missing, was integer"),
    ("alter table \"Weird \"\"schema\"\"\".\"Weird \"\"table\"\"\" drop \"new\nline\"",
     "column \"Weird \"\"schema\"\"\".\"Weird \"\"table\"\"\".\"new\\nline\": missing, was text"),
    ("alter table shop.child add more int", "column shop.child.more: not in the backup: integer"),
    ("alter table shop.orders alter customer drop not null", "column shop.orders.customer: integer, was integer not null"),
    ("alter table shop.child alter a set default 3", "column shop.child.a: integer default 3 inherited, was integer default 2 inherited"),
    ("alter table shop.customers alter id set generated always",
     "column shop.customers.id: integer not null identity always, was integer not null identity by default"),
    ("alter table shop.customers alter initial drop expression",
     "column shop.customers.initial: text, was text generated always as (\"left\"(name, 1)) stored"),
    ("alter table shop.customers alter extra set storage main",
     "column shop.customers.extra: jsonb storage main, was jsonb storage external"),
    ("alter table shop.customers alter name set statistics 8", "column shop.customers.name:"),
    ("alter table shop.customers alter extra set compression pglz", "column shop.customers.extra:"),
    ("drop table shop.typed", "table shop.typed: missing, was of shop.address"),
    ("create table shop.more (a int)", "table shop.more: not in the backup", "column shop.more.a: not in the backup",
     "owner table shop.more: not in the backup"),
    ("alter table shop.customers reset (fillfactor)", "table shop.customers:"),
    ("alter table shop.scratch set logged", "table shop.scratch: (empty), was unlogged"),
    ("alter table shop.orders replica identity full", "table shop.orders:", "index shop.orders_pkey:"),
    ("alter table shop.orders disable row level security", "table shop.orders:"),
    ("alter table shop.events detach partition shop.events_2026", "table shop.events_2026: (empty), was partition of",
     "column shop.events_2026.at:", "column shop.events_2026.who:", "column shop.events_2026.what:",
     "index shop.events_2026_at_idx:", "constraint shop.events_2026.events_who_fkey:",
     "trigger shop.events_2026.of_parts: missing"),
    ("alter table shop.child no inherit shop.parent", "table shop.child: (empty), was inherits shop.parent",
     "column shop.child.a:", "column shop.child.b:", "column shop.child.d:"),
    ("drop index shop.orders_state", "index shop.orders_state: missing"),
    ("drop index shop.orders_customer; create index orders_customer on shop.orders (customer desc)",
     "index shop.orders_customer: CREATE INDEX orders_customer ON shop.orders USING btree (customer DESC), was"),
    ("update pg_index set indisvalid = false where indexrelid = 'shop.orders_state'::regclass",
     "index shop.orders_state: invalid; CREATE INDEX"),
    ("alter table shop.orders set without cluster", "index shop.orders_customer:"),
    ("alter table shop.orders drop constraint noted", "constraint shop.orders.noted: missing, was CHECK"),
    ("alter table shop.orders drop constraint by_customer", "constraint shop.orders.by_customer: missing, was FOREIGN KEY"),
    ("alter table shop.orders validate constraint later", "constraint shop.orders.later: CHECK"),
    ("alter table shop.orders replica identity default; alter table shop.orders drop constraint orders_pkey",
     "constraint shop.orders.orders_pkey: missing, was PRIMARY KEY (id)", "index shop.orders_pkey: missing",
     "table shop.orders:"),
    ("select setval('shop.orders_id_seq', 50)", "sequence value shop.orders_id_seq: 50, was 100"),
    ("select setval('shop.unused', 9)", "sequence value shop.unused: 9, was 9 (unused)"),
    ("alter sequence shop.unused increment 2", "sequence shop.unused:"),
    ("alter sequence shop.orders_id_seq owned by none", "sequence shop.orders_id_seq:"),
    ("drop sequence shop.down", "sequence shop.down: missing"),
    ("create or replace function shop.net(text) returns text language plpgsql security definer as $$ begin return ''; end $$",
     "function shop.net(text): CREATE OR REPLACE FUNCTION"),
    ("alter function shop.net(numeric, float) volatile", "function shop.net(numeric, double precision):"),
    ("drop function shop.body(int)", "function shop.body(integer): missing"),
    ("drop procedure shop.tidy", "procedure shop.tidy(integer): missing"),
    ("drop aggregate shop.mul(float8)", "aggregate shop.mul(double precision): missing"),
    ("drop trigger stamp on shop.orders", "trigger shop.orders.stamp: missing"),
    ("alter table shop.orders enable trigger sleeping", "trigger shop.orders.sleeping:"),
    ("alter table shop.events_2026 enable trigger of_parts", "trigger shop.events_2026.of_parts: missing"),
    ("drop rule quiet on shop.scratch", "rule shop.scratch.quiet: missing"),
    ("alter policy own on shop.orders using (true)", "policy shop.orders.own:"),
    ("drop policy writes on shop.orders", "policy shop.orders.writes: missing"),
    ("alter event trigger watching disable", "event trigger watching:"),
    ("create or replace view shop.new_orders as select id, note from shop.orders", "view shop.new_orders:"),
    ("drop materialized view shop.totals", "materialized view shop.totals: missing", "index shop.totals_customer: missing"),
    ("refresh materialized view shop.totals with no data", "materialized view shop.totals: not populated;"),
    ("alter type shop.state add value 'lost'", "type shop.state: enum ('new', 'it''s paid', 'gone', 'lost'), was enum"),
    ("alter type shop.state rename value 'gone' to 'sent'", "type shop.state:", "index shop.orders_state:"),
    ("alter domain shop.price drop constraint positive", "constraint shop.price.positive: missing, was CHECK"),
    ("alter domain shop.price drop not null", "type shop.price: domain numeric(10,2) default 0, was"),
    ("alter type shop.address rename attribute zip to code cascade", "type shop.address: composite (street text, code",
     "column shop.typed.code: not in the backup", "column shop.typed.zip: missing", "comment column shop.address.code: not in",
     "comment column shop.address.zip: missing"),
    ("revoke select on shop.orders from zoo_reader", "grant table shop.orders to zoo_reader: missing, was SELECT*"),
    ("grant delete on shop.orders to zoo_reader", "grant table shop.orders to zoo_reader: DELETE, SELECT*, was SELECT*"),
    ("grant select on shop.customers to public", "grant table shop.customers to PUBLIC: not in the backup: SELECT"),
    ("revoke select (id) on shop.customers from zoo_reader", "grant column shop.customers.id to zoo_reader: missing, was SELECT"),
    ("grant execute on function shop.net(text) to public", "grant function shop.net(text) to PUBLIC: missing, was none"),
    ("revoke usage on schema shop from zoo_reader", "grant schema shop to zoo_reader: missing, was USAGE"),
    ("revoke execute on function pg_catalog.pg_sleep(float8) from public",
     "grant function pg_catalog.pg_sleep(double precision) to PUBLIC: not in the backup: none"),
    ("alter default privileges for role zoo_owner in schema shop revoke select on tables from zoo_reader",
     "default grant zoo_owner in shop on tables to zoo_reader: missing, was SELECT"),
    ("alter table shop.orders owner to postgres", "owner table shop.orders: postgres, was zoo_owner",
     "owner sequence shop.orders_id_seq: postgres, was zoo_owner"),
    ("comment on table shop.customers is null", "comment table shop.customers: missing, was who buys"),
    ("comment on column shop.customers.name is 'other'", "comment column shop.customers.name: other, was as given"),
    ("drop schema empty cascade", "schema empty: missing", "publication schema whole: empty: missing"),
    ("drop extension postgres_fdw cascade", "extension postgres_fdw: missing", "foreign table shop.far: missing",
     "server elsewhere: missing", "user mapping zoo_reader on elsewhere: missing"),
    ("drop statistics shop.spread", "statistics shop.spread: missing"),
    ("alter text search dictionary shop.plain (stopwords = french)", "text search dictionary shop.plain:"),
    ("alter text search configuration shop.words drop mapping for email", "text search configuration shop.words:"),
    ("drop cast (shop.state as int)", "cast shop.state as integer: missing"),
    ("alter operator shop.~~~ (int, int) set (restrict = eqsel)", "operator shop.~~~(integer,integer):"),
    ("drop operator class shop.odd_ops using btree", "operator class shop.odd_ops using btree: missing",
     "operator family shop.odd using btree:"),
    ("drop conversion shop.conv", "conversion shop.conv: missing"),
    ("drop collation shop.german", "collation shop.german: missing"),
    ("alter publication changes set (publish = 'insert, delete')", "publication changes: insert, delete, was insert"),
    ("alter publication changes drop table shop.customers", "publication table changes: shop.customers: missing"),
    ("alter server elsewhere options (set host 'other')", "server elsewhere:"),
    ("alter foreign table shop.far options (set table_name 'here')", "foreign table shop.far:"),
    ("select lo_unlink(1003)", "large objects count: 2, was 3", "large objects bytes:", "large objects which:",
     "owner large objects: postgres has 2, was postgres has 3"),
    ("select lo_truncate(lo_open(1002, 131072), 10)", "large objects bytes:"),
    ("revoke all on large object 1001 from zoo_reader", "grant large objects to zoo_reader: missing"),
    ("do $$ begin execute format('alter database %I reset work_mem', current_database()); end $$",
     "database setting work_mem: missing, was 7MB"),
    ("do $$ begin execute format('revoke create on database %I from zoo_reader', current_database()); end $$",
     "grant database to zoo_reader: missing, was CREATE"),
]


def make_roles(pg):
    for role in ("zoo_owner", "zoo_reader", "zoo_driller login createdb bypassrls"):
        pg.query("postgres", "do $$ begin create role %s; exception when duplicate_object then end $$" % role)


class Compare:
    """What the tests below share."""

    server = staticmethod(shared_postgres)

    @classmethod
    def setUpClass(cls):
        cls.pg = cls.server()
        built = os.path.dirname(os.path.dirname(mount.BAKFS))
        cls.program = os.path.join(built, "tests", "unit", "tools", "pg", "facts_probe")
        cls.made = []

    @classmethod
    def tearDownClass(cls):
        for name in cls.made:
            cls.drop(name)

    @classmethod
    def drop(cls, name):
        cls.psql("postgres", "-c", "drop database if exists %s with (force)" % name)

    @classmethod
    def psql(cls, database, *args, **how):
        return cls.pg.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, *args, stdout=subprocess.PIPE, **how)

    @classmethod
    def create(cls, name, template="template0", *options):
        cls.drop(name)
        cls.pg.run("createdb", "-T", template, *options, name)
        cls.made.append(name)

    @classmethod
    def conninfo(cls, database):
        return "host=%s user=postgres dbname=%s" % (cls.pg.socket, database)

    @classmethod
    def dump_and_restore(cls, name, to, *options):
        path = os.path.join(cls.pg.dumps, name + ".compare")
        cls.pg.run("pg_dump", "-Fc", "-Z0", "-f", path, name)
        cls.create(to, "template0", *options)
        cls.pg.run("pg_restore", "--exit-on-error", "-d", to, path)
        os.unlink(path)

    def probe(self, *words, code=0, env=None):
        done = subprocess.run([self.program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              env=dict(os.environ, **(env or {})))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout or done.stderr

    def known(self, database):
        """A file of what is known of it now."""
        path = os.path.join(self.pg.dumps, database + ".facts")
        with open(path, "w", encoding="utf8") as f:
            f.write(self.probe("take", self.conninfo(database)))
        return path

    def lines(self, known, database, *words, code=0):
        return self.probe("compare", known, self.conninfo(database), *words, code=code).splitlines()[:-1]


@only("dir")
class Zoo(Compare):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make_roles(cls.pg)
        cls.create("zoo")
        for script in (ZOO, OF_SUPERUSER, OF_DATABASE):
            cls.psql("zoo", "-f", script)
        cls.dump_and_restore("zoo", "zoo_copy")
        cls.psql("zoo_copy", "-f", OF_DATABASE)

    @classmethod
    def tearDownClass(cls):
        for name in cls.made: # a subscription keeps its database
            there = cls.psql("postgres", "-c", "select 1 from pg_subscription s join pg_database d on d.oid = subdbid "
                             "where datname = '%s'" % name).stdout
            if there:
                cls.without_subscription(name)
        super().tearDownClass()

    @classmethod
    def without_subscription(cls, name):
        cls.psql(name, "-c", "alter subscription feed set (slot_name = none)", "-c", "drop subscription feed")

    @short
    def test_whole(self):
        known = self.known("zoo")
        lines = self.lines(known, "zoo_copy")
        self.assertEqual([line for line in lines if line.startswith("FAIL")], [])
        notes = "\n".join(lines)
        self.assertIn("NOTE index public.broken: not there; it was invalid", notes)
        self.assertIn("NOTE rows shop.totals: 19, was 20 (refreshed by the restore", notes)
        with open(known, encoding="utf8") as f:
            self.assertNotIn("s3cret", f.read())

    def test_subscription(self):
        known = self.known("zoo")
        self.dump_and_restore("zoo", "zoo_feedless")
        self.psql("zoo_feedless", "-f", OF_DATABASE)
        self.without_subscription("zoo_feedless")
        lines = self.lines(known, "zoo_feedless", code=3)
        self.assertEqual([line for line in lines if line.startswith("FAIL")],
                         ["FAIL subscription feed: missing, was publications p, commit off"])

    def damaged(self, known, number):
        sql, wanted = DAMAGES[number][0], DAMAGES[number][1:]
        name = "zoo_%d" % number
        self.create(name, "zoo_template")
        try:
            self.psql(name, "-f", OF_DATABASE)
            self.psql(name, "-c", "set allow_system_table_mods = on", "-c", sql)
            lines = self.lines(known, name, code=3)
        except AssertionError as e:
            return str(e)
        finally:
            self.drop(name)
        failures = [line[len("FAIL "):] for line in lines if line.startswith("FAIL ")]
        missed = [w for w in wanted if not any(f.startswith(w) for f in failures)]
        beside = [f for f in failures if not any(f.startswith(w) for w in wanted)]
        return "%s: not said: %s; said: %s" % (sql, missed, beside) if missed or beside else None

    def test_damages(self):
        self.create("zoo_template", "zoo_copy") # without its subscription: that is the cluster's
        self.psql("zoo_template", "-f", OF_DATABASE)
        known = self.known("zoo_template")
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            wrong = [w for w in pool.map(lambda n: self.damaged(known, n), range(len(DAMAGES))) if w]
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))


@only("dir")
class Known(Compare):
    """What is known of a database that is in use."""

    def test_sequences_that_move(self):
        self.create("moving")
        self.psql("moving", "-c", "create table t (id serial); insert into t select from generate_series(1, 100)",
                  "-c", "create sequence still", "-c", "create sequence down increment -1",
                  "-c", "select nextval('still'), nextval('down')")
        session, snapshot = self.pg.snapshot("moving")
        more = "insert into t select from generate_series(1, 50); select nextval('down')"
        probe = subprocess.Popen([self.program, "twice", self.conninfo("moving"), snapshot], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        self.assertEqual(probe.stdout.readline(), "taken\n")
        self.psql("moving", "-c", more)
        path = os.path.join(self.pg.dumps, "moving.dump")
        self.pg.run("pg_dump", "-Fc", "-Z0", "--snapshot=" + snapshot, "-f", path, "moving")
        self.psql("moving", "-c", more, "-c", "create sequence young")
        facts, _ = probe.communicate("\n")
        self.assertEqual(probe.returncode, 0)
        session.stdin.close()
        session.wait()
        session.stdout.close()
        self.assertIn("sequence_value\tpublic.t_id_seq\t100..200\n", facts)
        self.assertIn("sequence_value\tpublic.still\t1\n", facts)
        self.assertIn("sequence_value\tpublic.down\t-1..-3\n", facts)
        self.assertIn("rows\tpublic.t\t100\n", facts)
        known = os.path.join(self.pg.dumps, "moving.facts")
        with open(known, "w", encoding="utf8") as f:
            f.write(facts)
        self.create("moved")
        self.pg.run("pg_restore", "--exit-on-error", "-d", "moved", path)
        self.assertEqual(self.lines(known, "moved"), [])
        self.psql("moved", "-c", "select setval('t_id_seq', 99)")
        self.assertEqual(self.lines(known, "moved", code=3),
                         ["FAIL sequence value public.t_id_seq: 99, was 100..200 while the dump was made"])

    def test_stop(self):
        """A table that is locked by a migration does not hold up the end."""
        self.create("locked")
        self.psql("locked", "-c", "create table held (); create table free ()")
        held = subprocess.Popen([self.pg.tool("psql"), "-XqAt", "-d", "locked"], env=self.pg.env, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)
        try:
            held.stdin.write(b"begin; lock table held; select 1;\n")
            held.stdin.flush()
            self.assertEqual(held.stdout.readline(), b"1\n")
            facts = self.probe("stopped", self.conninfo("locked"))
            self.assertIn("\t".join(("rows_skipped", "public.held", "the counting was ended")), facts)
        finally:
            held.communicate()

    def test_estimates(self):
        self.create("guessed")
        self.psql("guessed", "-c", "create table seen as select generate_series(1, 1000)", "-c", "create table unseen (a int)",
                  "-c", "create table emptied as select generate_series(1, 70)", "-c", "analyze seen, emptied")
        known = os.path.join(self.pg.dumps, "guessed.facts")
        with open(known, "w", encoding="utf8") as f:
            f.write(self.probe("guessed", self.conninfo("guessed")))
        with open(known, encoding="utf8") as f:
            self.assertEqual([line for line in f if line.startswith("rows")],
                             ["rows_estimate\tpublic.emptied\t70\n", "rows_estimate\tpublic.seen\t1000\n"])
        self.psql("guessed", "-c", "delete from seen where generate_series < 10", "-c", "truncate emptied")
        self.assertEqual(self.lines(known, "guessed"),
                         ["NOTE rows public.emptied: none, about 70 by the estimate in the backup"])

    def test_encodings(self):
        """Names and texts in the encoding of their database, and bytes in none."""
        for encoding, word in (("LATIN1", b"caf\xe9"), ("SQL_ASCII", b"\xff\xe9" + 200 * b"x")):
            name = "in_" + encoding.lower()
            self.create(name, "template0", "-E", encoding, "--locale", "C")
            script = b"set client_encoding = %s; create table t (\"%s\" int); comment on table t is '%s'" % (
                encoding.encode(), word[:20], word)
            self.psql(name, input=script)
            known = os.path.join(self.pg.dumps, name + ".facts")
            done = subprocess.run([self.program, "take", self.conninfo(name)], stdout=subprocess.PIPE, check=True)
            self.assertIn(word[:2] if encoding == "SQL_ASCII" else word.decode("latin1").encode(), done.stdout)
            with open(known, "wb") as f:
                f.write(done.stdout)
            self.dump_and_restore(name, name + "_copy", "-E", encoding, "--locale", "C")
            self.assertEqual(self.lines(known, name + "_copy"), [])

    def test_questions(self):
        """Configured queries and migrations: by the search_path of the database, read-only, harmless when they fail."""
        self.create("asked")
        self.psql("asked", "-c", "create schema app", "-c", "alter database asked set search_path = app",
                  "-c", "create table app.t (a int, b text); insert into app.t values (1, 'x'), (2, null)",
                  "-c", "create table app.alembic_version (version_num text); insert into app.alembic_version values ('ae10')",
                  "-c", "create table app.schema_migrations (version text); insert into app.schema_migrations values ('1'), ('2')")
        conninfo = self.conninfo("asked")
        answer = self.probe("asked", conninfo, "select * from t order by a")
        self.assertIn("check\tit\t1\\tx\\n2\\t\n", answer)
        self.assertIn("migration\talembic app.alembic_version\tae10\n", answer)
        self.assertIn("migration\trails app.schema_migrations\t2, 2 applied\n", answer)
        for sql in ("delete from t returning 1", "select 1; drop table t", "select * from nowhere", "selec 1"):
            answer = self.probe("asked", conninfo, sql, code=1)
            self.assertIn("migration\talembic", answer) # the transaction went on
        self.assertEqual(self.pg.query("asked", "select count(*) from app.t"), "2")

    def test_wrong_password(self):
        hba = os.path.join(self.pg.data, "pg_hba.conf")
        with open(hba, encoding="utf8") as f:
            before = f.read()
        self.psql("postgres", "-c", "create role asked_for login password 'right s3cret'")
        try:
            with open(hba, "w", encoding="utf8") as f:
                f.write("local all asked_for scram-sha-256\n" + before)
            self.psql("postgres", "-c", "select pg_reload_conf()")
            conninfo = "host=%s user=asked_for dbname=postgres" % self.pg.socket
            self.assertIn("check\tit\t1\n", self.probe("asked", conninfo + " password='right s3cret'", "select 1"))
            for given, env in (("wrong s3cret", None), (None, {"PGPASSWORD": "wrong s3cret"}), (None, None)):
                said = self.probe("asked", conninfo + (" password='%s'" % given if given else ""), code=1, env=env)
                self.assertNotIn("s3cret", said)
                self.assertEqual(said.count("\n"), 1)
                self.assertRegex(said, "password authentication failed|no password supplied")
            passwords = os.path.join(self.pg.dumps, "passwords")
            with open(passwords, "w", encoding="utf8") as f:
                f.write("*:*:*:asked_for:right s3cret\n")
            os.chmod(passwords, 0o600)
            self.assertIn("check\tit\t1\n", self.probe("asked", conninfo, "select 1", env={"PGPASSFILE": passwords}))
        finally:
            with open(hba, "w", encoding="utf8") as f:
                f.write(before)
            self.psql("postgres", "-c", "select pg_reload_conf()", "-c", "drop role asked_for")

    def test_many_tables(self):
        self.create("many")
        self.psql("many", "-c", "do $$ begin for i in 1 .. 5000 loop execute format('create table t%s (id serial primary key, "
                  "a text not null default %L, b int)', i, i); end loop; end $$")
        facts = self.probe("take", self.conninfo("many")).splitlines()
        for kind, count in (("table", 5000), ("column", 15000), ("constraint", 5000), ("sequence_value", 5000), ("rows", 5000)):
            self.assertEqual(sum(1 for line in facts if line.startswith(kind + "\t")), count, kind)


@only("dir")
class Regression(Compare):
    """PostgreSQL's own regression database, of Debian's source package, comes back without a difference."""

    server = Postgres # of its own: those scripts make roles, and change them
    # scripts that leave nothing behind, or need what is not there; most of the time they would take
    LEFT_OUT = set("""tablespace join_hash select_parallel write_parallel vacuum_parallel tuplesort partition_aggregate memoize
        groupingsets infinite_recurse stats maintain_every explain async dbsize join union subselect window brin_bloom brin_multi
        incremental_sort numeric horology timestamptz timestamp regex strings xml tidscan tidrangescan portals transactions guc
        plancache partition_info sysviews amutils mvcc advisory_lock lock type_sanity opr_sanity misc_sanity oidjoins sanity_check
        json jsonb jsonpath jsonb_jsonpath json_encoding jsonpath_encoding select_having limit bitmapops hash_func
        combocid tsrf euc_kr unicode xid txid numerology random psql_crosstab""".split())

    @classmethod
    def tearDownClass(cls):
        cls.pg.close()

    def fetch(self, major):
        """The directory src/test/regress of the source package; an apt of its own, the machine's stays as it is."""
        top = tempfile.mkdtemp(prefix="bakfs-source-")
        self.addCleanup(shutil.rmtree, top)
        os.makedirs(os.path.join(top, "lists", "partial"))
        os.makedirs(os.path.join(top, "cache", "archives", "partial"))
        with open("/etc/os-release", encoding="utf8") as f:
            codename = dict(line.rstrip().split("=", 1) for line in f if "=" in line)["VERSION_CODENAME"]
        targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"],
                                 stdout=subprocess.PIPE, check=True, text=True).stdout
        mirrors = [line.split()[0] for line in targets.split("\n") if line.split()[1:] == [codename, "main"]]
        with open(os.path.join(top, "sources.list"), "w", encoding="utf8") as f:
            f.write("deb-src %s %s main\n" % ((mirrors + ["http://deb.debian.org/debian"])[0], codename))
        options = ["-o", "Dir::Etc::SourceList=%s/sources.list" % top, "-o", "Dir::Etc::SourceParts=/dev/null",
                   "-o", "Dir::State::Lists=%s/lists" % top, "-o", "Dir::Cache=%s/cache" % top, "-o", "APT::Sandbox::User=root"]
        for words in (["update", "-q"], ["source", "--download-only", "-q", "postgresql-" + major]):
            done = subprocess.run(["apt-get", *options, *words], cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  check=False, text=True)
            if done.returncode:
                self.skipTest("the package registry does not give the source of PostgreSQL: " + done.stdout[-200:])
        with tarfile.open(glob.glob(top + "/*.orig.tar.*")[0]) as archive:
            wanted = [m for m in archive if "/src/test/regress/" in m.name and m.isreg()]
            archive.extractall(top, members=wanted)
        os.makedirs(os.path.join(top, "results"))
        subprocess.run(["chmod", "-R", "a+rX", top], check=True)
        return glob.glob(top + "/postgresql-*/src/test/regress")[0], top

    def run_scripts(self, source, top):
        bin_dir = os.path.dirname(self.pg.tool("psql"))
        env = dict(self.pg.env, PG_ABS_SRCDIR=source, PG_ABS_BUILDDIR=top, PG_DLSUFFIX=".so", PGTZ="PST8PDT",
                   PG_LIBDIR=os.path.join(os.path.dirname(bin_dir), "lib"), PGDATESTYLE="Postgres, MDY",
                   PATH=bin_dir + ":" + os.environ["PATH"])

        def run(script):
            with open(os.path.join(source, "sql", script + ".sql"), "rb") as f:
                with contextlib.suppress(subprocess.TimeoutExpired): # one that hangs has made what it has made
                    subprocess.run([self.pg.tool("psql"), "-Xaq", "-d", "regression", "-v", "HIDE_TABLEAM=on", "-v",
                                    "HIDE_TOAST_COMPRESSION=on"], stdin=f, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                                   env=env, timeout=120, check=False, cwd=top)

        with open(os.path.join(source, "parallel_schedule"), encoding="utf8") as f:
            groups = [line.split()[1:] for line in f if line.startswith("test:")]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for group in groups: # a group leans on those before it
                list(pool.map(run, [script for script in group if script not in self.LEFT_OUT]))

    def test_regression_database(self):
        source, top = self.fetch(os.path.basename(os.path.dirname(self.pg.bin)))
        options = ("-E", "UTF8", "--locale", "C")
        self.create("regression", "template0", *options)
        self.run_scripts(source, top)
        known = self.known("regression")
        with open(known, encoding="utf8") as f:
            kinds = [line.split("\t")[0] for line in f]
        least = {"table": 450, "column": 2000, "index": 180, "function": 180, "view": 30, "rule": 25, "trigger": 40, "policy": 20,
                 "type": 25, "operator": 4, "grant": 20, "aggregate": 20}
        self.assertEqual({kind: kinds.count(kind) for kind, n in least.items() if kinds.count(kind) < n}, {})
        self.dump_and_restore("regression", "regression_copy", *options)
        self.assertEqual([line for line in self.lines(known, "regression_copy") if not line.startswith("NOTE rows ")], [])


@only("dir")
class ThroughVerbs(VerbCase):
    """The same zoo through a backup and a restore."""

    def zoo(self, *scripts):
        make_roles(self.pg)
        self.make_database("zooed")
        for script in scripts:
            self.pg.run("psql", "-XqAt", "-d", "zooed", "-f", script, stdout=subprocess.DEVNULL)
        driller = self.conninfo("postgres").replace("user=postgres", "user=zoo_driller")
        self.ready({"database zooed": {"conninfo": self.conninfo("zooed"), "host": "db1"}, "restore": {"drill_conninfo": driller}})
        self.bakfs("backup", "zooed")

    def without_subscription(self, name):
        for sql in ("alter subscription feed disable", "alter subscription feed set (slot_name = none)", "drop subscription feed"):
            self.pg.query(name, sql)

    def test_restore(self):
        self.addCleanup(self.drop_database, "zoo_again")
        self.zoo(ZOO, OF_SUPERUSER, OF_DATABASE)
        try:
            said = self.bakfs("restore", "zooed", "--into", "zoo_again", "--yes")
            self.without_subscription("zoo_again")
        finally:
            self.without_subscription("zooed")
        self.assertIn("note  rows shop.totals: 19, was 20", said)
        self.assertTrue(said.splitlines()[-1].startswith("PASS"), said)

    def test_drill(self):
        """By a role that is no superuser; row security that is forced on owners needs one that passes it by."""
        self.zoo(ZOO, OF_DATABASE)
        before = self.databases()
        said = self.bakfs("verify", "zooed", "--restore")
        self.assertIn("PASS", said)
        self.assertNotIn("FAIL", said)
        self.assertEqual(self.databases(), before)
