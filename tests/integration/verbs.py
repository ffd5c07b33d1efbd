"""What the tests of backup, restore and the verbs around them share: a mount, a PostgreSQL, a mail server."""

import contextlib
import email
import email.policy
import logging
import os
import socket
import subprocess
import threading
import warnings

import mount
from aiosmtpd.controller import Controller
from case import Case
from postgres import Postgres

_shared = {}


def shared_postgres():
    """One server for all tests of a run: each makes databases of its own. run.py's end stops it (close_shared)."""
    if "pg" not in _shared:
        _shared["pg"] = Postgres()
    return _shared["pg"]


def close_shared():
    while _shared:
        _shared.popitem()[1].close()


class Inbox:
    """A real SMTP server on a port of its own; what arrived stands in .mails as (sender, recipients, text)."""

    def __init__(self, **how):
        self.mails, self.changed = [], threading.Condition()
        with socket.socket() as free: # the controller wants to know its port before it listens
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # a client that gives up is what some tests want
        warnings.filterwarnings("ignore", module="aiosmtpd")
        self.server = Controller(self, hostname="127.0.0.1", port=self.port, **how)
        self.server.start()
        self.url = "smtp://127.0.0.1:%d" % self.port

    async def handle_DATA(self, _server, _session, envelope):
        with self.changed:
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content.decode("utf8", "replace")))
            self.changed.notify_all()
        return "250 OK"

    def messages(self):
        """-> what arrived, as email.message.EmailMessage: ["Subject"] is unfolded and decoded, .get_content() the text."""
        with self.changed:
            return [email.message_from_string(mail[2], policy=email.policy.default) for mail in self.mails]

    def subjects(self):
        return [str(message["Subject"]) for message in self.messages()]

    def wait(self, count, seconds=60):
        """Until `count` mails have come; the time is a bound for failure only. -> messages()"""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.mails) >= count, seconds):
                raise AssertionError("%d mails came, %d were expected: %s" % (len(self.mails), count, self.mails))
        return self.messages()

    def close(self):
        self.server.stop()


class VerbCase(Case):
    """self.pg, and self.ready(databases...) for the mount: then self.bakfs("backup", "orders")."""

    def setUp(self):
        super().setUp()
        self.pg = shared_postgres()
        self.made = []

    def conninfo(self, database):
        return "host=%s user=postgres dbname=%s" % (self.pg.socket, database)

    def make_database(self, name, script=""):
        """A new database, dropped at the end (with what restores left of it)."""
        self.pg.run("createdb", "-T", "template0", name)
        self.addCleanup(self.drop_database, name)
        if script:
            self.pg.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", script, stdout=subprocess.DEVNULL)

    def drop_database(self, name):
        with contextlib.suppress(AssertionError):
            self.pg.run("dropdb", "--force", "--if-exists", name)

    def databases(self):
        return self.pg.query("postgres", "select datname from pg_database order by 1").split("\n")

    def ready(self, sections=None, **how):
        """Mounts with a configuration that knows the databases; {"database orders": {"conninfo": ...}}."""
        conf = {"restore": {"conninfo": self.conninfo("postgres"), "drill_conninfo": self.conninfo("postgres")}}
        for section, keys in (sections or {}).items():
            conf.setdefault(section, {}).update(keys)
        self.mounted = self.mount(conf, **how)
        return self.mounted

    def command(self, *words):
        return [mount.BAKFS, words[0], "-c", self.mounted.conf, *words[1:]]

    def bakfs(self, *words, code=0, text=None, env=None):
        """-> what it wrote, both streams. `text` goes to its standard input."""
        done = subprocess.run(self.command(*words), input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              text=True, env=dict(os.environ, **(env or {})), stdin=None if text else subprocess.DEVNULL)
        self.assertEqual(done.returncode, code, "%s: %s" % (" ".join(words), done.stdout))
        return done.stdout

    def names_below(self, *parts):
        top = os.path.join(self.mounted.point, *parts)
        return sorted(os.path.relpath(os.path.join(base, name), top) for base, _, names in os.walk(top) for name in names)
