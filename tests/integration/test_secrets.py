"""No secret in an argument, the log, META, a mail, a report or a core file: looked for while each verb runs."""

import contextlib
import os
import re
import resource
import signal
import ssl
import subprocess

import case
from aiosmtpd.smtp import AuthResult
from case import Case, both_stores, wait_until
from machine import Machine, s3_env
from verbs import Inbox

MARKS = {
    "the password of the server": "Mark1PgSecret",
    "the password of the drill's role": "Mark2DrillSecret",
    "a wrong password": "Mark3WrongSecret",
    "the password of the mail server": "Mark4MailSecret",
    "a password in a URI": "Mark5UriSecret",
}
PG, DRILL, WRONG, MAIL, URI = MARKS.values()

CONF = """
[restore]
conninfo = user=boss dbname=postgres
drill_conninfo = user=bakfs_drill dbname=postgres

[notify]
smtp = %s
from = bakfs@db1.example.com
to = ops@example.com
on = always
user = mailer
password_file = /etc/bakfs/mail.txt

[database orders]
conninfo = user=boss dbname=orders
drill_every = 1d

[database wrong]
conninfo = user=stranger dbname=orders

[database uri]
conninfo = postgresql://nobody:Mark5UriSecret@/orders
"""

# What each verb is asked for. Its exit code is not the matter here, but that it got as far as it should.
VERBS = (
    ("backup orders", 0),
    ("backup wrong", 1),
    ("backup uri", 1),
    ("list", 0),
    ("restore orders --into orders_copy --yes", 0),
    ("restore orders --into orders_none --yes --to user=stranger", 1),
    ("verify orders --full", 0),
    ("verify orders --restore", 0),
    ("drill orders", 0),
    ("migrate orders -- true", 0),
    ("migrate orders -- false", 1),
    ("status --json", None),
    ("status --html /tmp/out/page.html --metrics /tmp/out/bakfs.prom --notify", None),
    ("notify-test", 0),
    ("doctor", None),
    ("prune --keep-last 1 --dry-run", 0),
    ("policy writer", None),
)


@both_stores
class Secrets(Case):
    def setUp(self):
        super().setUp()
        self.m = Machine("db1", s3_env(self.store))
        self.addCleanup(self.m.close)

    def mail_server(self):
        """One that wants TLS and a password."""
        self.m.do("cd /tmp && openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt -days 2 -subj /CN=localhost "
                  "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = []
        for name in ("tls.crt", "tls.key"):
            files.append(os.path.join(self.tmp, name))
            with open(files[-1], "w", encoding="ascii") as f:
                f.write(self.m.read("/tmp/" + name))
        context.load_cert_chain(*files)

        def judge(_server, _session, _envelope, _mechanism, data):
            return AuthResult(success=data.password == MAIL.encode())

        inbox = Inbox(tls_context=context, authenticator=judge, auth_required=True)
        self.addCleanup(inbox.close)
        self.m.env["CURL_CA_BUNDLE"] = "/tmp/tls.crt"
        return inbox

    def prepare(self):
        m = self.m
        m.start_postgres("local all postgres peer\nlocal all all scram-sha-256\n")
        m.sql("create role boss superuser login password '%s'; create role bakfs_drill login createdb password '%s';"
              "create role stranger login password 'other'; create database orders" % (PG, DRILL))
        m.sql("create table orders as select i id from generate_series(1, 2000) i", "orders")
        m.write("/root/.pgpass", "*:*:*:boss:%s\n*:*:*:bakfs_drill:%s\n*:*:*:stranger:%s\n" % (PG, DRILL, WRONG), 0o600)
        url = "dir:/var/lib/bakfs/store" if self.kind == "dir" else self.store.url
        sheet = m.do("bakfs init --no-escrow --store " + url)
        self.inbox = self.mail_server()
        m.write("/etc/bakfs/mail.txt", MAIL + "\n", 0o600)
        m.do("chmod 600 /etc/bakfs/bakfs.conf") # a password stands in it
        m.write("/etc/bakfs/bakfs.conf", m.read("/etc/bakfs/bakfs.conf") + CONF % self.inbox.url.replace("127.0.0.1", "localhost"), 0o600)
        marks = dict(MARKS)
        marks["the identity"] = re.search(r"AGE-SECRET-KEY-1[A-Z0-9]+", m.read("/etc/bakfs/identity.txt")).group()
        if self.kind == "s3":
            marks["the secret key of the store"] = self.store.secret
        self.assertNotIn(marks["the identity"], sheet)
        m.do("mkdir /tmp/out /tmp/traces")
        self.start_daemon()
        return marks

    def start_daemon(self):
        self.m.do("setsid strace -f -qq -s 100000 -e trace=execve -o /tmp/traces/mount bakfs mount -f >/tmp/out/daemon.log 2>&1 </dev/null & "
                  "while ! mountpoint -q /mnt/bak; do jobs %1 | grep -q Running; done")

    def assert_none(self, marks, where, text):
        for what, mark in marks.items():
            if mark in text:
                line = next(line for line in text.split("\n") if mark in line)
                self.fail("%s stands in %s: %s" % (what, where, line[:300]))

    def test_each_verb(self):
        marks = self.prepare()
        known = self.m.do("bakfs help")
        for i, (words, wanted) in enumerate(VERBS):
            verb = words.split()[0]
            self.assertIn("\n  %s " % verb, known)
            with self.subTest(verb=words):
                trace = "/tmp/traces/%d" % i
                code, said = self.m.shell("cd /tmp/out; bakfs " + words,
                                          under=["strace", "-f", "-qq", "-s", "100000", "-e", "trace=execve", "-o", trace])
                if wanted is not None:
                    self.assertEqual(code, wanted, "%s: %s" % (words, said))
                seen = self.m.read(trace)
                self.assertIn('"bakfs", "%s"' % verb, seen) # strace saw the arguments
                self.assert_none(marks, "the arguments of a process of " + words, seen)
                self.assert_none(marks, "what is said by " + words, said)
        self.everything_written(marks)

    def everything_written(self, marks):
        self.assert_none(marks, "an argument of the daemon", self.m.read("/tmp/traces/mount"))
        files = self.m.do("find /tmp/out /mnt/bak/db1/2* /mnt/bak/.bakfs/status.json /var/lib/bakfs -path '*/store/*' -prune -o -type f -print").split("\n")
        self.assertTrue(any(f.endswith(".META") for f in files), files)
        self.assertTrue(any(f.endswith(".prom") for f in files), files)
        for what, mark in marks.items():
            code, said = self.m.shell("tr '\\n' '\\0' | xargs -0 grep -alF -e '%s' -- <<'END'\n%s\nEND" % (mark, "\n".join(filter(None, files))))
            self.assertNotEqual(code, 0, "%s stands in %s" % (what, said))
        self.assertTrue(self.inbox.mails)
        for mail in self.inbox.mails:
            self.assert_none(marks, "a mail", mail[2])
        self.assertTrue(any("FAIL" in s for s in self.inbox.subjects()), self.inbox.subjects())
        self.assert_none(marks, "the server's log", self.m.read("/var/lib/postgresql/log"))

    @case.short
    def test_no_core_file(self):
        """Whoever is ended by SIGABRT where core files are allowed leaves none, the daemon too."""
        self.prepare()
        self.m.do("mkdir -p /tmp/cores && chmod 777 /tmp/cores")
        unlimited = "cd /tmp/cores; ulimit -c unlimited; exec "
        verb = self.start(unlimited + "bakfs migrate orders -- sleep 600")
        sleeping = wait_until(lambda: self.find(b"sleep\x00600\x00"))
        self.abort(verb, self.find(b"bakfs\x00migrate\x00"))
        with contextlib.suppress(ProcessLookupError):
            os.kill(sleeping, signal.SIGKILL)
        self.m.do("bakfs umount")
        daemon = self.start(unlimited + "bakfs mount -f")
        wait_until(lambda: self.m.shell("mountpoint -q /mnt/bak")[0] == 0)
        self.abort(daemon, self.find(b"bakfs\x00mount\x00-f\x00"))
        self.m.do("umount -l /mnt/bak")
        self.assertEqual(self.m.do("ls -A /tmp/cores"), "")

    def start(self, text):
        child = subprocess.Popen(self.m.enter("bash", "-c", text), env=self.m.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)))
        self.addCleanup(child.wait)
        return child

    def find(self, words):
        """A process of the machine, by its arguments: its number here."""
        namespace = os.readlink("/proc/%d/ns/pid" % self.m.pid)
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % entry, "rb") as f:
                    said = f.read()
                if said.startswith(words) and os.readlink("/proc/%s/ns/pid" % entry) == namespace:
                    return int(entry)
            except OSError:
                continue
        return None

    def abort(self, child, pid):
        self.assertTrue(pid)
        with open("/proc/%d/limits" % pid, encoding="ascii") as f:
            line = next(line for line in f if line.startswith("Max core file size"))
        self.assertLessEqual(int(line.split()[4]), 1, line) # 1 byte: not even a pipe of the kernel gets it
        os.kill(pid, signal.SIGABRT)
        self.assertNotEqual(child.wait(60), 0)
