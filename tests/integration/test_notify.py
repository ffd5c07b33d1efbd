"""Notices: by mail (a real SMTP server, plain, STARTTLS and TLS from the start, with a user), webhook, command, heartbeat;
and what the daemon itself tells."""

import contextlib
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import case
import mount
from aiosmtpd.smtp import AuthResult
from case import Case, only, put_file, wait_until
from verbs import Inbox

PASSWORD = "hush-Pass-0815"
TOKEN = "T0K3N-of-the-webhook"


class Web:
    """A web server that keeps what it is sent; `answer` is its status code."""

    def __init__(self):
        web = self
        self.posts, self.gets, self.answer = [], [], 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.posts.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.reply()

            def do_GET(self):
                web.gets.append(self.path)
                self.reply()

            def reply(self):
                self.send_response(web.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificate(directory):
    """A CA and a certificate of its making for localhost: (CA file, context of a server)."""
    ca, ca_key, key, request, cert, names = (os.path.join(directory, n) for n in ("ca", "ca.key", "key", "req", "cert", "names"))
    with open(names, "w", encoding="ascii") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for command in (
        ["req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-subj", "/CN=test CA", "-days", "2"],
        ["req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", cert, "-days", "2",
         "-extfile", names],
    ):
        subprocess.run(["openssl", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return ca, context


class NotifyCase(Case):
    def setUp(self):
        super().setUp()
        self.password_file = os.path.join(self.tmp, "password")
        self.write_password(PASSWORD)

    def write_password(self, text):
        with open(os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as f:
            f.write(text + "\n")

    def closing(self, what):
        self.addCleanup(what.close)
        return what

    def notify_test(self, code, env=None, **keys):
        """-> what `bakfs notify-test` said"""
        conf = os.path.join(self.tmp, "bakfs.conf")
        with open(conf, "w", encoding="utf8") as f:
            f.write("[mount]\nstate = %s/state\n[notify]\n" % self.tmp)
            f.writelines("%s = %s\n" % pair for pair in keys.items())
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("BAKFS_", "CURL_", "SSL_"))}
        done = subprocess.run([mount.BAKFS, "notify-test", "-c", conf], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, env={**clean, **(env or {})}, timeout=100)
        self.assertEqual(done.returncode, code, done.stdout)
        for secret in (PASSWORD, TOKEN):
            self.assertNotIn(secret, done.stdout)
        return done.stdout


@only("dir")
class Ways(NotifyCase):
    @case.short
    def test_all_of_them(self):
        inbox, web = self.closing(Inbox()), self.closing(Web())
        out = os.path.join(self.tmp, "out")
        keys = {
            "smtp": inbox.url, "to": "on-call@example.com, root", "webhook": "%s/%s?x=%s" % (web.url, TOKEN, TOKEN),
            "heartbeat": web.url + "/beat",
            "command": '{ echo "$BAKFS_VERDICT|$BAKFS_SUBJECT"; cat; } > %s; echo from the command >&2' % out}
        said = self.notify_test(0, **keys)
        for way in ("mail", "webhook", "command", "heartbeat"):
            self.assertRegex(said, r"(?m)^%s +sent$" % way)
        self.assertIn("from the command", said)
        (sender, recipients, _), (message,) = inbox.mails[0], inbox.wait(1)
        self.assertEqual(recipients, ["on-call@example.com", "root"])
        self.assertRegex(sender, r"^bakfs@[A-Za-z0-9.-]+$")
        self.assertTrue(message["Subject"].startswith("PASS bakfs notify-test notices on "), message["Subject"])
        self.assertEqual(message["To"], "on-call@example.com, root")
        self.assertIn("@", message["Message-ID"])
        self.assertLess(abs(message["Date"].datetime.timestamp() - time.time()), 100)
        ((path, kind, body),) = web.posts
        self.assertEqual((path, kind), ("/%s?x=%s" % (TOKEN, TOKEN), "application/json"))
        self.assertEqual((body["verdict"], body["verb"], body["what"]), ("PASS", "notify-test", "notices"))
        self.assertEqual(body["text"].rstrip(), message.get_content().replace("\r\n", "\n").rstrip())
        self.assertEqual(web.gets, ["/beat"])
        with open(out, encoding="utf8") as f:
            self.assertEqual(f.readline().rstrip(), "PASS|" + message["Subject"])
            self.assertEqual(f.read(), body["text"])

    def test_what_fails_is_said(self):
        web = self.closing(Web())
        web.answer = 500
        said = self.notify_test(1, smtp="smtp://127.0.0.1:%d" % closed_port(), to="root", webhook=web.url + "/" + TOKEN,
                                command="exit 3", heartbeat="http://127.0.0.1:%d/%s" % (closed_port(), TOKEN))
        self.assertRegex(said, r"(?m)^mail +FAILED: mail by smtp://127.0.0.1:\d+: Failed to connect")
        self.assertRegex(said, r"(?m)^webhook +FAILED: webhook at 127.0.0.1:\d+: it answers 500$")
        self.assertRegex(said, r"(?m)^command +FAILED: \[notify\] command: exited with 3$")
        self.assertRegex(said, r"(?m)^heartbeat +FAILED: heartbeat at 127.0.0.1:\d+: Failed to connect")
        self.assertIn("4 of the ways do not work", said)
        self.assertIn("nobody would be told", self.notify_test(1))

    def test_redirects(self):
        """A heartbeat may move, a notice goes to nobody else."""
        other = self.closing(Web())

        moved = self.closing(Web())
        handler = moved.server.RequestHandlerClass

        def redirect(self):
            self.send_response(302)
            self.send_header("Location", other.url + "/there")
            self.send_header("Content-Length", "0")
            self.end_headers()

        handler.reply = redirect
        said = self.notify_test(1, webhook=moved.url, heartbeat=moved.url)
        self.assertRegex(said, r"(?m)^webhook +FAILED: .*it answers 302$")
        self.assertRegex(said, r"(?m)^heartbeat +sent$")
        self.assertEqual((other.posts, other.gets), ([], ["/there"]))


@only("dir")
class Secured(NotifyCase):
    """Users, passwords, certificates."""

    def setUp(self):
        super().setUp()
        self.ca, self.context = certificate(self.tmp)
        self.logins = []

    def authenticate(self, _server, _session, _envelope, _mechanism, data):
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.logins[-1] == ("me", PASSWORD), handled=False)

    def keys(self, inbox, scheme="smtp", **more):
        return {"smtp": "%s://localhost:%d" % (scheme, inbox.port), "to": "a@example.com", "user": "me",
                "password_file": self.password_file, **more}

    def test_starttls(self):
        inbox = self.closing(Inbox(tls_context=self.context, require_starttls=True, authenticator=self.authenticate,
                                   auth_required=True))
        keys = self.keys(inbox)
        for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            self.notify_test(0, env={name: self.ca}, **keys)
        self.assertEqual(len(inbox.wait(2)), 2)
        # a server that cannot prove its name gets no password
        said = self.notify_test(1, **keys)
        self.assertRegex(said, "(?s)certificate.*not trusted here; CURL_CA_BUNDLE=FILE")
        self.assertEqual(self.logins, [("me", PASSWORD)] * 2)
        self.write_password("wrong-" + PASSWORD[:5])
        said = self.notify_test(1, env={"CURL_CA_BUNDLE": self.ca}, **keys)
        self.assertIn("does not take user and password (535)", said)
        self.assertNotIn("wrong-", said)
        self.assertEqual(len(inbox.mails), 2)

    def test_tls_from_the_start(self):
        inbox = self.closing(Inbox(ssl_context=self.context, authenticator=self.authenticate, auth_required=True,
                                   auth_require_tls=False))
        self.notify_test(0, env={"SSL_CERT_FILE": self.ca}, **self.keys(inbox, "smtps"))
        self.assertEqual(len(inbox.wait(1)), 1)
        self.assertIn("not trusted", self.notify_test(1, **self.keys(inbox, "smtps")))
        self.assertEqual(self.logins, [("me", PASSWORD)])

    def test_no_tls_no_password(self):
        inbox = self.closing(Inbox(authenticator=self.authenticate, auth_require_tls=False))
        said = self.notify_test(1, **self.keys(inbox))
        self.assertIn("offers no STARTTLS", said)
        self.assertEqual((self.logins, inbox.mails), ([], []))
        os.chmod(self.password_file, 0o640)
        self.assertIn("chmod 600", self.notify_test(1, **self.keys(inbox)))

    def test_without_a_user(self):
        """Mail servers on the same host have certificates that nobody signed: it is sent, and over TLS."""
        inbox = self.closing(Inbox(tls_context=self.context, require_starttls=True))
        self.notify_test(0, smtp="smtp://localhost:%d" % inbox.port, to="root")
        self.assertEqual(len(inbox.wait(1)), 1)

    def test_a_recipient_is_refused(self):
        class Picky(Inbox):
            async def handle_RCPT(self, _server, _session, envelope, address, _options):
                if address.startswith("nobody"):
                    return "550 5.1.1 no such user"
                envelope.rcpt_tos.append(address)
                return "250 OK"

        inbox = self.closing(Picky())
        said = self.notify_test(1, smtp=inbox.url, to="root, nobody@example.com")
        self.assertIn("the server answers 550", said)


def write_and_hold(path, size=100_000):
    """A process that has written a part of a file and holds it open."""
    script = 'exec 3>"$1"; head -c %d /dev/zero | tr "\\0" x >&3; echo ready; read line' % size
    child = subprocess.Popen(["bash", "-c", script, "-", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    return child


@only("dir")
class Daemon(NotifyCase):
    def die(self, path):
        child = write_and_hold(path)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()

    @case.short
    def test_a_writer_that_died(self):
        inbox = self.closing(Inbox())
        m = self.mount({"notify": {"smtp": inbox.url, "to": "root"}})
        paths = ["db1/2024-11-22/orders/orders.dump", "db1/2024-11-22/orders.sql"]
        self.die(m.make(paths[0]))
        (message,) = inbox.wait(1)
        self.assertTrue(message["Subject"].startswith("FAIL bakfs mount %s on " % paths[0]), message["Subject"])
        text = message.get_content()
        self.assertIn("killed by signal 9", text)
        self.assertIn(paths[0], text)
        # stored, but no whole backup; and what is whole is told to nobody
        put_file(m.make("db1/2024-11-22/whole.txt"), [b"x"])
        put_file(m.make(paths[1]), [b"--\n-- PostgreSQL database dump\n--\n" + b"select 1;\n" * 1000])
        message = inbox.wait(2)[1]
        self.assertTrue(message["Subject"].startswith("FAIL bakfs mount %s on " % paths[1]), message["Subject"])
        self.assertIn("stops short", message.get_content())
        m.stop()
        self.assertEqual(len(inbox.mails), 2)

    def test_many_are_one(self):
        inbox = self.closing(Inbox())
        m = self.mount({"notify": {"smtp": inbox.url, "to": "root"}})
        paths = ["db1/2024-11-22/p%d.sql" % i for i in range(80)]
        for path in paths:
            self.die(m.make(path))
        m.stop()  # what is not told yet is told at the end
        text = inbox.wait(1)[0].get_content()
        self.assertLessEqual(len(inbox.mails), 3)
        self.assertIn(paths[0], text)
        self.assertIn("files not stored; the first: ", inbox.subjects()[0])

    def test_the_same_again_is_told_once(self):
        inbox = self.closing(Inbox())
        m = self.mount({"notify": {"smtp": inbox.url, "to": "root"}})
        self.die(m.make("db1/2024-11-21/orders/db1.20241121T031500Z.orders.dump"))
        inbox.wait(1)
        self.die(m.make("db1/2024-11-22/orders/db1.20241122T031501Z.orders.dump"))
        m.restart()
        self.die(m.make("db1/2024-11-23/orders/db1.20241123T031502Z.orders.dump"))
        self.die(m.make("db2/2024-11-23/orders/db2.20241123T031502Z.orders.dump"))
        m.stop()
        self.assertLessEqual(len(inbox.mails), 2)
        self.assertIn("db1/2024-11-21/", inbox.subjects()[0])

    def test_the_mail_server_is_gone(self):
        m = self.mount({"notify": {"smtp": "smtp://127.0.0.1:%d" % closed_port(), "to": "root"}})
        self.die(m.make("db1/2024-11-22/orders.dump"))
        wait_until(lambda: "nobody was told of what was not stored: not told: mail by smtp://127.0.0.1" in m.log())
        put_file(m.make("db1/2024-11-22/more"), [b"x"])
        m.stop()

    def test_a_mail_server_that_says_nothing(self):
        """It holds up nobody but who sends."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            silent.settimeout(60)
            m = self.mount({"notify": {"smtp": "smtp://127.0.0.1:%d" % silent.getsockname()[1], "to": "root"}})
            self.die(m.make("db1/2024-11-22/orders.dump"))
            connection = silent.accept()[0]
            for i in range(100):
                self.die(m.make("db1/2024-11-22/p%d" % i))
            put_file(m.make("db1/2024-11-22/whole"), [b"x"])
            self.assertNotIn("nobody was told", m.log())
            connection.close()
            wait_until(lambda: "nobody was told of what was not stored" in m.log())
            m.kill()

    def test_a_tool_tells_itself(self):
        """What a tool of ours writes is told by the tool, unless that died too."""
        inbox = self.closing(Inbox())
        m = self.mount({"notify": {"smtp": inbox.url, "to": "root"}})
        directory = m.path("db1/2024-11-22/orders")
        os.makedirs(directory)
        script = "import os,sys; os.setxattr(sys.argv[1], 'user.bakfs.tool', b'1'); print('ready', flush=True); sys.stdin.read()"
        tool = subprocess.Popen(["/usr/bin/python3", "-c", script, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(tool.stdout.readline(), b"ready\n")
        self.die(directory + "/one.dump")
        wait_until(lambda: "one.dump" in m.log())
        tool.kill()
        with contextlib.suppress(OSError):
            os.waitid(os.P_PID, tool.pid, os.WEXITED | os.WNOWAIT) # a zombie lives no more
        self.die(directory + "/two.dump")
        (message,) = inbox.wait(1)
        self.assertIn("two.dump", message["Subject"])
        m.stop()
        self.assertEqual(len(inbox.mails), 1)
        tool.wait()
        tool.stdin.close()
        tool.stdout.close()
