"""An HTTP front for a real S3 server that fails as asked, in threads of the test that uses it.

Requests and answers pass byte for byte, the Host header too, so that signatures hold. Every request has a name
(`Request.op`, as S3 calls the operation) and a number, counted from 1 since the last `forget()`.

    front = Front("http://127.0.0.1:7480")
    front.fail("500", nth=3)                          the third request from now
    front.fail("lost", op="CompleteMultipartUpload")  the first Complete: carried out, its answer lost
    front.fail("hang", nth=5, times=None)             all from the fifth on
    front.fail(kill_it, nth=7)                        a function of the request, called before it is forwarded,
    front.fail(kill_it, nth=7, answered=True)         or when the server has answered and the client does not know yet
    front.heal()                                      no faults any more; what hangs is let go, unanswered
    front.vanish() ... front.come_back()              nobody listens; connections are reset

What can be done to a request:
    "500" "503"   answered so by the front, not forwarded (503 is SlowDown)
    "400"         the same, and final: NoSuchBucket, as of a store that is set up wrong
    "reset"       the line breaks before it is forwarded
    "lost"        forwarded, and the line breaks when the server's answer is there
    "hang"        never forwarded, never answered
    "lost-hang"   forwarded, never answered
    "slow"        answered in pieces, with pauses, as `slow_seconds` says

With `conditions` the front honours If-None-Match: * and If-Match where the server ignores them, on
CompleteMultipartUpload, as AWS does (412 PreconditionFailed, 404 NoSuchKey), and takes an If-Match with quotes on a PUT: a
lock for each key, a HEAD with a signature of its own.
"""

import collections
import contextlib
import os
import re
import socket
import struct
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import s3client  # noqa: E402

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>by the front</Message></Error>'


class Gone(Exception):
    """One end of a connection is gone."""


class Stream:
    """Reads HTTP messages from a socket."""

    def __init__(self, sock):
        self.sock, self.have = sock, b""

    def more(self):
        try:
            piece = self.sock.recv(1 << 18)
        except OSError as e:
            raise Gone(str(e)) from e
        if not piece:
            raise Gone("closed")
        self.have += piece

    def until(self, mark):
        while mark not in self.have:
            self.more()
        end = self.have.index(mark) + len(mark)
        out, self.have = self.have[:end], self.have[end:]
        return out

    def exactly(self, count):
        pieces, missing = [self.have[:count]], count - len(self.have[:count])
        self.have = self.have[count:]
        while missing:
            try:
                piece = self.sock.recv(min(missing, 1 << 18))
            except OSError as e:
                raise Gone(str(e)) from e
            if not piece:
                raise Gone("closed in mid-body")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def chunked(self):
        out = b""
        while True:
            line = self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            out += line + self.exactly(size + 2)
            if size == 0:
                return out


def header(head, name):
    found = re.search(rb"\r\n" + name.encode() + rb":[ \t]*([^\r]*)", head, re.IGNORECASE)
    return found.group(1).decode().strip() if found else None


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        self.method, self.target = head.split(b" ", 2)[:2]
        self.method, self.target = self.method.decode(), self.target.decode()
        path, _, query = self.target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.bucket, _, self.key = urllib.parse.unquote(path).lstrip("/").partition("/")
        self.op = self.name_it()
        self.number = 0

    def header(self, name):
        return header(self.head, name)

    def name_it(self):
        has, method = self.query, self.method
        if not self.key:
            if "uploads" in has:
                return "ListMultipartUploads"
            return {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket"}.get(method, method)
        if "uploads" in has:
            return "CreateMultipartUpload"
        if "uploadId" in has:
            copies = self.header("x-amz-copy-source") is not None
            names = {"PUT": "UploadPartCopy" if copies else "UploadPart", "POST": "CompleteMultipartUpload"}
            names.update({"DELETE": "AbortMultipartUpload", "GET": "ListParts"})
            return names.get(method, method)
        if method == "PUT" and self.header("x-amz-copy-source") is not None:
            return "CopyObject"
        return {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}.get(method, method)

    def __repr__(self):
        return "%d %s %s" % (self.number, self.op, self.key)


class Fault:
    """What is done to requests number `nth` (of those that match) and the `times` - 1 after it."""

    def __init__(self, action, nth, times, op, match, answered):
        self.action, self.nth, self.times, self.op, self.match = action, nth, times, op, match
        self.answered = answered
        self.seen, self.done = 0, 0
        self.happened = threading.Event()

    def takes(self, request):
        if self.op and request.op != self.op or self.match and not self.match(request):
            return False
        self.seen += 1
        if self.seen < self.nth or self.times is not None and self.done >= self.times:
            return False
        self.done += 1
        return True


class Front:
    def __init__(self, upstream, access=None, secret=None, conditions=False):
        parts = urllib.parse.urlsplit(upstream)
        self.upstream, self.upstream_url = (parts.hostname, parts.port or 80), upstream
        self.access, self.secret, self.conditions = access, secret, conditions
        self.lock = threading.Lock()
        self.requests, self.faults, self.count = [], [], 0
        self.healed = threading.Event()
        self.slow_seconds = 0.05
        self.key_locks = collections.defaultdict(threading.Lock)
        self.open = set()
        self.idle = threading.Condition(self.lock)
        self.busy = 0
        self.listener = None
        self.address = ("127.0.0.1", 0)
        self.come_back()
        self.url = "http://127.0.0.1:%d" % self.address[1]

    # --- what a test says ---

    def fail(self, action, nth=1, times=1, op=None, match=None, answered=False):
        """-> a Fault, whose `happened` is set when it has begun"""
        fault = Fault(action, nth, times, op, match, answered)
        with self.lock:
            self.faults.append(fault)
        return fault

    def heal(self):
        with self.lock:
            self.faults = []
            healed, self.healed = self.healed, threading.Event()
        healed.set()

    def forget(self):
        """Counts from 1 again. -> the requests until now"""
        with self.lock:
            old, self.requests, self.count = self.requests, [], 0
        return old

    def seen(self, op=None):
        with self.lock:
            return [r for r in self.requests if not op or r.op == op]

    def wait_idle(self):
        """Until nothing is between the front and the server: what a dead client had sent has been carried out."""
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0)

    def vanish(self):
        with self.lock:
            listener, self.listener = self.listener, None
            connections, self.open = self.open, set()
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for sock in connections:
            reset(sock)

    def come_back(self):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.address)
        listener.listen(256)
        self.address = listener.getsockname()
        with self.lock:
            self.listener = listener
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def close(self):
        self.heal()
        self.vanish()

    # --- connections ---

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                here = self.listener is listener
                if here:
                    self.open.add(sock)
            if not here:
                reset(sock)
                continue
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        client, server = Stream(sock), None
        try:
            while True:
                request = self.read_request(client)
                if server is None:
                    server = Stream(socket.create_connection(self.upstream))
                    server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self.handle(request, client, server):
                    return
        except (Gone, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open.discard(sock)
            reset(sock)
            if server:
                server.sock.close()

    def read_request(self, client):
        head = client.until(b"\r\n\r\n")
        if (header(head, "expect") or "").lower() == "100-continue":
            client.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = re.sub(rb"(?i)\r\nexpect:[^\r]*", b"", head)
        if (header(head, "transfer-encoding") or "").lower() == "chunked":
            body = client.chunked()
        else:
            body = client.exactly(int(header(head, "content-length") or 0))
        return Request(head, body)

    def note(self, request):
        """-> what is to be done with it, and the event that ends a hang"""
        with self.lock:
            self.count += 1
            request.number = self.count
            self.requests.append(request)
            # each fault counts each request, the first that takes it decides
            taken = [f for f in self.faults if f.takes(request)]
            return (taken[0] if taken else None), self.healed

    def handle(self, request, client, server):
        """False: the connection is over."""
        with self.idle:
            self.busy += 1
        try:
            return self.carry(request, client, server)
        finally:
            with self.idle:
                self.busy -= 1
                self.idle.notify_all()

    def carry(self, request, client, server):
        fault, healed = self.note(request)
        request.body, body = b"", request.body  # the list of requests is not to hold gigabytes
        action = fault.action if fault else None
        if fault:
            fault.happened.set()
        if callable(action):
            if not fault.answered:
                action(request)
        elif action in ("400", "500", "503"):
            code = {"400": "NoSuchBucket", "500": "InternalError", "503": "SlowDown"}[action]
            text = answer(int(action), code)
            client.sock.sendall(without_body(text) if request.method == "HEAD" else text)
            return True
        elif action == "reset":
            return False
        elif action == "hang":
            hang(client.sock, healed)
            return False
        reply, ends = self.forward(request, body, server)
        if callable(action) and fault.answered:
            action(request)
        if action == "lost":
            return False
        if action == "lost-hang":
            hang(client.sock, healed)
            return False
        if action == "slow":
            step = max(1, len(reply) // 10)
            for at in range(0, len(reply), step):
                client.sock.sendall(reply[at : at + step])
                healed.wait(self.slow_seconds)
        else:
            client.sock.sendall(reply)
        return not ends

    # --- the server behind ---

    def forward(self, request, body, server):
        """-> (the answer's bytes, whether the server ends the connection)"""
        lone = request.op in ("PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject")
        if not (self.conditions and lone):
            return self.exchange(request, request.head, body, server)
        with self.lock:
            key_lock = self.key_locks[request.bucket, request.key]
        with key_lock:
            head = request.head
            if request.op == "CompleteMultipartUpload":
                refusal = self.judge(request)
                if refusal:
                    return refusal, False
            elif request.op == "PutObject" and '"' in (request.header("if-match") or ""):
                refusal = self.judge(request)
                if refusal:
                    return refusal, False
                head = self.sign_anew(request)
            return self.exchange(request, head, body, server)

    def exchange(self, request, head, body, server):
        try:
            server.sock.sendall(head + body)
        except OSError as e:
            raise Gone(str(e)) from e
        while True:
            reply = server.until(b"\r\n\r\n")
            status = int(reply.split(b" ", 2)[1])
            if status >= 200:
                break
        length = header(reply, "content-length")
        ends = (header(reply, "connection") or "").lower() == "close"
        if request.method == "HEAD" or status in (204, 304):
            pass
        elif (header(reply, "transfer-encoding") or "").lower() == "chunked":
            reply += server.chunked()
        elif length is not None:
            reply += server.exactly(int(length))
        else:
            ends = True
            with contextlib.suppress(Gone):
                while True:
                    server.more()
            reply += server.have
        return reply, ends

    def client(self, bucket):
        return s3client.Client(self.upstream_url, bucket, self.access, self.secret)

    def judge(self, request):
        """None when the request's conditions hold, else the answer."""
        absent, match = request.header("if-none-match"), request.header("if-match")
        if not absent and not match:
            return None
        etag = self.client(request.bucket).etag(request.key)
        if absent and etag is not None:
            return answer(412, "PreconditionFailed")
        if match and etag is None:
            return answer(404, "NoSuchKey")
        if match and etag != match.strip('"'):
            return answer(412, "PreconditionFailed")
        return None

    def sign_anew(self, request):
        """The same PUT without its If-Match, which the front has judged."""
        keep = {}
        for line in request.head.split(b"\r\n")[1:]:
            name, _, value = line.decode().partition(":")
            if name.lower().startswith(("x-amz-meta", "content-type")):
                keep[name.lower()] = value.strip()
        digest = request.header("x-amz-content-sha256")
        target, signed = self.client(request.bucket).signed("PUT", request.key, {}, digest, keep)
        lines = ["PUT %s HTTP/1.1" % target, "content-length: %s" % request.header("content-length")]
        lines += ["%s: %s" % pair for pair in signed.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(status, code):
    text = (ERROR % code).encode()
    words = {400: "Bad Request", 412: "Precondition Failed", 404: "Not Found", 500: "Internal Server Error", 503: "Slow Down"}
    head = "HTTP/1.1 %d %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % (status, words[status], len(text))
    return head.encode() + text


def without_body(text):
    return text.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def reset(sock):
    """RST instead of FIN: the other end sees an error, not an end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)  # a thread that reads from it wakes up
    sock.close()


def hang(sock, healed):
    """Until the front is healed or the other end has gone."""
    sock.settimeout(0.1)
    while not healed.is_set():
        try:
            if not sock.recv(1, socket.MSG_PEEK):
                return
            healed.wait(0.1)  # a next request, never read
        except socket.timeout:
            continue
        except OSError:
            return
