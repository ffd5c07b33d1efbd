"""A daemon on a real mount: `bakfs mount -f`, ready when it says so itself."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "vectors"))

import agefile  # noqa: E402

BAKFS = None  # run.py sets it
LOGS = None  # a directory, or None
READY_SECONDS = 120  # a bound for what went wrong; nothing waits for it otherwise

SECRET = bytes(range(32))
IDENTITY = agefile.identity_encode(SECRET)
RECIPIENT = agefile.bech32_encode("age", agefile.public(SECRET))
STRANGER_SECRET = bytes(range(1, 33))
STRANGER_IDENTITY = agefile.identity_encode(STRANGER_SECRET)
STRANGER = agefile.bech32_encode("age", agefile.public(STRANGER_SECRET))


def wait_until(what, seconds=60):
    """Polls for an event; the time is a bound for failure only."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %d s in vain for %s" % (seconds, what))
        select.select([], [], [], 0.02)


class MountFailed(Exception):
    def __init__(self, code, log):
        super().__init__("bakfs mount exited with %s: %s" % (code, log))
        self.code, self.log = code, log


class Mount:
    """One mount of one store, with a state directory that outlives the daemon. conf: {"section": {"key": value}};
    a value of None leaves the key out."""

    def __init__(self, store, conf=None, identity=IDENTITY, options=(), state=None, start=True, env=None, under=()):
        self.store, self.options, self.extra_env = store, list(options), env or {}
        self.under = list(under)  # a command that runs the daemon
        self.dir = tempfile.mkdtemp(prefix="bakfs-mount-")
        self.point = os.path.join(self.dir, "mnt")
        self.state = state or os.path.join(self.dir, "state")
        self.spool = os.path.join(self.dir, "spool")
        for path in (self.point, self.state, self.spool):
            os.makedirs(path, exist_ok=True)
        self.conf = os.path.join(self.dir, "bakfs.conf")
        self.key = os.path.join(self.dir, "key.txt")
        with open(os.open(self.key, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write((identity or IDENTITY) + "\n")
        self.write_conf(conf or {}, identity)
        self.log_path = os.path.join(LOGS or self.dir, "daemon-%s.log" % os.path.basename(self.dir))
        self.daemon = None
        if start:
            self.start()

    def write_conf(self, conf, identity):
        sections = {
            "store": dict(self.store.settings, url=self.store.url),
            "seal": {"recipients": RECIPIENT, "identity": self.key if identity else None},
            "mount": {"point": self.point, "state": self.state, "refresh": "200ms"},
            "write": {"spool": self.spool, "spool_keep_free": "1%"},
        }
        for section, keys in conf.items():
            sections.setdefault(section, {}).update(keys)
        with open(self.conf, "w", encoding="utf8") as f:
            for section, keys in sections.items():
                f.write("[%s]\n" % section)
                f.writelines("%s = %s\n" % (k, v) for k, v in keys.items() if v is not None)

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BAKFS_"))}
        return {**env, **self.store.env, **self.extra_env}

    def start(self):
        notify = os.path.join(self.dir, "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as said:
            said.bind(notify)
            with open(self.log_path, "ab") as log:
                self.daemon = subprocess.Popen(
                    self.under + [BAKFS, "mount", "-f", "-c", self.conf] + self.options,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self.environment(), NOTIFY_SOCKET=notify),
                )
            self.wait_ready(said)
        return self

    def wait_ready(self, said):
        pidfd = os.pidfd_open(self.daemon.pid)
        try:
            end = time.monotonic() + READY_SECONDS
            while True:
                ready, _, _ = select.select([said, pidfd], [], [], max(0, end - time.monotonic()))
                if said in ready and b"READY=1" in said.recv(4096):
                    return
                if pidfd in ready or not ready:
                    code = self.daemon.wait() if pidfd in ready else None
                    self.kill()
                    raise MountFailed(code, self.log())
        finally:
            os.close(pidfd)

    # --- the end of it ---

    def terminate(self):
        if self.daemon:
            self.daemon.send_signal(signal.SIGTERM)

    def wait(self, seconds=300):
        code = self.daemon.wait(seconds)
        self.daemon = None
        return code

    def stop(self):
        """-> exit code"""
        if not self.daemon:
            return None
        self.terminate()
        code = self.wait()
        if self.is_mounted():
            raise AssertionError("still mounted after SIGTERM: " + self.log())
        return code

    def restart(self):
        code = self.stop()
        if code != 0:
            raise AssertionError("the daemon ended with %s: %s" % (code, self.log()))
        return self.start()

    def kill(self):
        """kill -9, and the dead mount is taken away."""
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None
        if self.is_mounted():
            subprocess.run(["umount", "-l", self.point], check=False)

    def close(self):
        if self.daemon and self.daemon.poll() is not None:
            code, self.daemon = self.daemon.returncode, None
            self.kill()
            raise AssertionError("the daemon died: %s: %s" % (code, self.log()))
        try:
            code = self.stop()
        except (subprocess.TimeoutExpired, AssertionError):
            self.kill()
            raise
        shutil.rmtree(self.dir, ignore_errors=True)
        if code not in (None, 0):
            raise AssertionError("the daemon ended with %s: %s" % (code, self.log()))

    # --- looking at it ---

    def is_mounted(self):
        with open("/proc/self/mounts", encoding="utf8") as f:
            return any(line.split()[1] == self.point for line in f)

    def path(self, *parts):
        return os.path.join(self.point, *parts)

    def make(self, *parts):
        """Path of a file; the directories above it are made."""
        path = self.path(*parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.log_path, encoding="utf8", errors="replace") as f:
                return f.read()
        return ""

    def status(self):
        with open(self.path(".bakfs", "status.json"), encoding="utf8") as f:
            return json.load(f)

    def peak_rss(self):
        with open("/proc/%d/status" % self.daemon.pid, encoding="ascii") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))

    def open_files(self):
        base = "/proc/%d/fd" % self.daemon.pid
        found = []
        for fd in os.listdir(base):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(os.path.join(base, fd)))
        return found

    def verb(self, *args, **how):
        """Another verb of the same program: (exit code, what it said)."""
        done = subprocess.run(
            [BAKFS, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment(), text=True,
            timeout=120, check=False, **how)
        return done.returncode, done.stdout
