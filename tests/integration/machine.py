"""A machine to throw away: namespaces of its own (mounts, processes, host name) over this one's file system, whose changes
lie in memory. In it /mnt/bak, /etc/bakfs and the server's socket are where the documentation has them, so that what it
prints can be typed as it stands."""

import glob
import os
import pathlib
import pty
import select
import shutil
import subprocess
import tempfile
import time

import mount
import stores

TOP = pathlib.Path(__file__).resolve().parents[2]

# The first process of it: makes the file system, then waits for its standard input to end, and reaps. When it goes, all go.
FIRST = r"""
import ctypes, os, signal, subprocess, sys
work, top, bakfs, name = sys.argv[1:]
def run(*words):
    subprocess.run(words, check=True)
def keep_mounts_inside(): # of / and all below it; the root of a chroot is no mount, so from the one above it
    libc, old, away = ctypes.CDLL(None, use_errno=True), os.open("/", os.O_RDONLY), work + "/away"
    os.mkdir(away)
    os.chdir("/")
    os.chroot(away)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
    if libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None) != 0:
        raise OSError(ctypes.get_errno(), "make the mounts private")
    os.fchdir(old)
    os.chroot(".")
    os.close(old)
root = work + "/root"
keep_mounts_inside()
with open("/proc/self/mounts") as f: # copies of others' mounts would keep their daemons alive
    for line in f.readlines():
        if line.split()[2].startswith("fuse"):
            subprocess.run(["umount", "-l", line.split()[1]], stderr=subprocess.DEVNULL)
run("mount", "-t", "tmpfs", "-o", "mode=755", "none", work)
for part in ("upper", "work", "root"):
    os.mkdir(work + "/" + part)
run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir=%s/upper,workdir=%s/work" % (work, work), root)
os.makedirs(root + "/usr/src/host", exist_ok=True)
run("mount", "--rbind", "/", root + "/usr/src/host")
for part in ("dev", "sys"):
    run("mount", "--rbind", "/" + part, root + "/" + part)
run("mount", "-t", "proc", "proc", root + "/proc")
for part, mode in (("run", "755"), ("tmp", "1777"), ("mnt", "755"), ("media", "755"), ("root", "700"), ("var/tmp", "1777"),
                   ("var/lib/postgresql", "755")):
    os.makedirs(root + "/" + part, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=" + mode, "none", root + "/" + part)
for stale in ("etc/bakfs", "var/lib/bakfs"): # of whoever tried it on the machine beneath
    subprocess.run(["rm", "-rf", root + "/" + stale], check=True)
os.makedirs(root + "/usr/src/bakfs", exist_ok=True)
run("mount", "--rbind", top, root + "/usr/src/bakfs")
run("mount", "-o", "remount,ro,bind", root + "/usr/src/bakfs")
run("install", "-m", "755", bakfs, root + "/usr/bin/bakfs")
with open(root + "/etc/hosts", "w") as f:
    f.write("127.0.0.1 localhost %s\n" % name)
run("hostname", name)
os.chroot(root)
os.chdir("/root")
def reap(*_):
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return
signal.signal(signal.SIGCHLD, reap)
os.write(1, b"ready\n")
while os.read(0, 1):
    pass
"""

# Lets whoever connects to a port of one side out at the other: python3 -c DOOR tcp:PORT|unix:PATH tcp:PORT|unix:PATH
DOOR = r"""
import socket, sys, threading
def place(text):
    kind, _, where = text.partition(":")
    return (socket.AF_UNIX, where) if kind == "unix" else (socket.AF_INET, ("127.0.0.1", int(where)))
def pump(a, b):
    try:
        while piece := a.recv(1 << 16):
            b.sendall(piece)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
family, here = place(sys.argv[1])
listening = socket.socket(family, socket.SOCK_STREAM)
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind(here)
listening.listen(64)
print("open", flush=True)
while True:
    came, _ = listening.accept()
    family, there = place(sys.argv[2])
    goes = socket.socket(family, socket.SOCK_STREAM)
    try:
        goes.connect(there)
    except OSError:
        came.close()
        continue
    for a, b in ((came, goes), (goes, came)):
        threading.Thread(target=pump, args=(a, b), daemon=True).start()
"""

# systemctl enable --now UNIT.timer, without a systemd: what the timer's service would run is run at once, as who it says.
SYSTEMCTL = r"""#!/usr/bin/python3
import glob, os, re, shlex, subprocess, sys
words = [w for w in sys.argv[1:] if not w.startswith("-")]
if words[:1] not in (["enable"], ["start"]):
    sys.exit("systemctl: only enable and start")
for unit in words[1:]:
    name, _, kind = unit.rpartition(".")
    name = name or unit
    plain, at, instance = name.partition("@")
    path = "/usr/src/bakfs/conf/%s%s.service" % (plain, at)
    if kind == "timer" and not os.path.exists(path.replace(".service", ".timer")):
        sys.exit("systemctl: no %s" % unit)
    keys = {}
    for line in open(path):
        key, is_key, value = line.strip().partition("=")
        if is_key and not line.startswith("#"):
            keys.setdefault(key, []).append(value.replace("%i", instance))
    command = shlex.split(keys["ExecStart"][-1])
    user = keys.get("User", ["root"])[0]
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": os.path.expanduser("~" + user), "USER": user}
    for file in keys.get("EnvironmentFile", []):
        if os.path.exists(file.lstrip("-")):
            env.update(line.strip().split("=", 1) for line in open(file.lstrip("-")) if "=" in line)
    if keys["Type"] == ["notify"]: # in the background instead
        sys.exit(subprocess.run(["/usr/bin/bakfs", "mount"], env=env).returncode)
    caps = ",".join("+" + c[4:].lower() for c in keys.get("CapabilityBoundingSet", [""])[0].split())
    as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--no-new-privs",
               "--bounding-set", "-all" + ("," + caps if caps else "")]
    done = subprocess.run(as_user + command, env=env, stdin=subprocess.DEVNULL, cwd="/")
    if done.returncode:
        sys.exit("systemctl: %s failed with exit code %d" % (unit, done.returncode))
"""


class Machine:
    """`alone`: with a network of its own, in which all ports are free and every name of example.com is this machine."""

    def __init__(self, name="db1", env=None, alone=False):
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root",
                    "TERM": "dumb", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **(env or {})}
        self.work = tempfile.mkdtemp(prefix="bakfs-machine-")
        self.doors, self.net = [], ["--net"] if alone else []
        self.first = subprocess.Popen(
            ["unshare", "-m", "-u", "-p", "-f", *self.net, "--kill-child", "--propagation", "unchanged", "/usr/bin/python3", "-c", FIRST,
             self.work, str(TOP), mount.BAKFS, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.first.stdout.readline() != b"ready\n":
            self.close()
            raise AssertionError("no machine: unshare or mount failed")
        with open("/proc/%d/task/%d/children" % (self.first.pid, self.first.pid), encoding="ascii") as f:
            self.pid = int(f.read().split()[0])
        self.write("/usr/local/bin/systemctl", SYSTEMCTL, 0o755)
        if alone:
            self.do("ip link set lo up")
            names = " ".join("%s %s.example.com" % (n, n) for n in ("mail", "drill", "db2"))
            self.write("/etc/hosts", "127.0.0.1 localhost %s %s\n" % (name, names))

    def close(self):
        for door in self.doors:
            door.terminate()
            door.wait()
            door.stdout.close()
        self.doors = []
        self.first.stdin.close()
        self.first.wait(60)
        self.first.stdout.close()
        shutil.rmtree(self.work, ignore_errors=True)
        for path in glob.glob(self.work + ".door*"):
            os.unlink(path)

    def door(self, port, outside):
        """What listens on `outside` of this machine answers on `port` of that one, which is alone."""
        path = os.path.join(self.work + ".door%d" % port)
        inside = "/usr/src/host" + path
        for command in (["/usr/bin/python3", "-c", DOOR, "unix:" + path, "tcp:%d" % outside],
                        self.enter("/usr/bin/python3", "-c", DOOR, "tcp:%d" % port, "unix:" + inside)):
            door = subprocess.Popen(command, stdout=subprocess.PIPE)
            self.doors.append(door)
            if door.stdout.readline() != b"open\n":
                raise AssertionError("no door at %d" % port)

    # --- files ---

    def root(self, path):
        """Where this process finds a file of the machine; below no mount that bakfs made, which is its user's alone."""
        return "/proc/%d/root%s" % (self.pid, path)

    @staticmethod
    def under(path):
        """Where the machine finds a file of this one."""
        return "/usr/src/host" + os.path.abspath(path)

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.root(path)), exist_ok=True)
        with open(self.root(path), "w", encoding="utf8") as f:
            f.write(text)
        os.chmod(self.root(path), mode)

    def read(self, path):
        with open(self.root(path), encoding="utf8", errors="replace") as f:
            return f.read()

    # --- what is typed ---

    def enter(self, *words, user=None):
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--pid", *self.net, "--root", "--wd"]
        home = ["env", "-C", "/var/lib/postgresql", "HOME=/var/lib/postgresql"] if user == "postgres" else []
        return inside + (["runuser", "-u", user, "--", *home] if user else []) + list(words)

    def shell(self, text, user=None, env=None, under=(), timeout=120):
        """Types `text` into bash; its first failure ends it. -> (exit code, what it wrote)"""
        done = subprocess.run(self.enter(*under, "bash", "-e", "-o", "pipefail", "-c", text, user=user), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**self.env, **(env or {})}, check=False,
                              timeout=timeout)
        return done.returncode, done.stdout.decode("utf8", "replace")

    def do(self, text, **how):
        code, said = self.shell(text, **how)
        if code != 0:
            raise AssertionError("exit code %d of: %s\n%s" % (code, text, said))
        return said

    def typed(self, text, answers="", user=None, env=None, timeout=60):
        """The same at a terminal, where `answers` are typed ahead. -> (exit code, what stood on the terminal)"""
        ours, theirs = pty.openpty()
        try:
            child = subprocess.Popen(self.enter("setsid", "-w", "-c", "bash", "-e", "-o", "pipefail", "-c", text, user=user), stdin=theirs,
                                     stdout=theirs, stderr=theirs, env={**self.env, **(env or {})})
            os.close(theirs)
            os.write(ours, answers.encode())
            said, end = b"", time.monotonic() + timeout
            while select.select([ours], [], [], max(0, end - time.monotonic()))[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError: # EIO: nobody holds the other end any more
                    break
                if not piece:
                    break
                said += piece
            else:
                child.kill()
            return child.wait(60), said.decode("utf8", "replace").replace("\r\n", "\n")
        finally:
            os.close(ours)

    # --- what runs in it ---

    def start_postgres(self, hba="local all all trust\n"):
        """A server as Debian has it: its socket in /var/run/postgresql. An address only where nobody else's is in the way."""
        tools = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        data = "/var/lib/postgresql/data"
        self.do("install -d -o postgres /run/postgresql /var/lib/postgresql && install -d -o postgres -m 700 " + data)
        self.do("%s/initdb -D %s -A trust -U postgres -N >/dev/null" % (tools, data), user="postgres")
        self.write(data + "/pg_hba.conf", hba)
        options = "-k /var/run/postgresql -c listen_addresses=%s -c fsync=off -c full_page_writes=off -c shared_buffers=32MB" % ("127.0.0.1" if self.net else "")
        self.do("%s/pg_ctl -D %s -o '%s' -l /var/lib/postgresql/log -w start >/dev/null" % (tools, data, options), user="postgres")

    def sql(self, text, database="postgres"):
        return self.do("psql -XAtq -v ON_ERROR_STOP=1 -d %s <<'END'\n%s\nEND" % (database, text), user="postgres").strip()


def blocks(text):
    """The indented code blocks of a page, each as it would be typed."""
    out, block = [], []
    for line in text.split("\n") + ["end"]:
        if line.startswith("    ") or (not line.strip() and block):
            block.append(line[4:])
        elif block:
            out.append("\n".join(block).rstrip("\n") + "\n")
            block = []
    return out


def s3_env(store):
    """What a user of an S3 server that is not AWS has in the environment."""
    return {"AWS_ENDPOINT_URL": store.settings["endpoint"], **store.env} if isinstance(store, stores.S3Store) else {}
