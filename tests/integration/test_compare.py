"""A restored database against what was known of the one that was dumped: what is damaged is named, what is whole is
not called damaged. Over the zoo (sql/zoo.sql) and over PostgreSQL's own regression database."""

import concurrent.futures
import glob
import os
import subprocess
import unittest

import mount
from case import only, short
from verbs import shared_postgres

HERE = os.path.dirname(os.path.abspath(__file__))
ZOO = os.path.join(HERE, "sql", "zoo.sql")
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


class Compare:
    """What the tests below share."""

    @classmethod
    def setUpClass(cls):
        cls.pg = shared_postgres()
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

    def probe(self, *words, code=0):
        done = subprocess.run([self.program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              env=dict(os.environ, PGPASSWORD="never s3cret"))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

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
        for role in ("zoo_owner", "zoo_reader"):
            cls.psql("postgres", "-c", "do $$ begin create role %s; exception when duplicate_object then end $$" % role)
        cls.create("zoo")
        for script in (ZOO, OF_DATABASE):
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
