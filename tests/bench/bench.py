#!/usr/bin/env python3
"""Upload and restore of one SQL dump: bakfs beside what a user would type instead, on one S3 server in one run.

    tests/bench/bench.py [-n ROUNDS]

Uploads end when the command returns; restores are cold (fresh mount, dropped page cache). Rounds are interleaved; the
table has medians. Every method's copy is compared with the dump at the end. Root, for mounts and drop_caches.

Environment:
    BAKFS         the binary                      (build/tools/bakfs)
    BENCH_FILE    the dump                        (a new one of a pgbench database, about 1 GB)
    RGW_ENDPOINT RGW_ACCESS_KEY RGW_SECRET_KEY RGW_BUCKET RGW_STATE
                  a running server, as tests/support/start-rgw.sh prints them (else one is started, and stopped)

Debian packages: age zstd s3fs awscli (or s3cmd), fuse3, postgresql-15 postgresql-contrib, and those of start-rgw.sh.
"""

import argparse
import glob
import os
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUPPORT = os.path.join(TOP, "tests", "support")
PATIENCE_S = 600


def shell(command, env=None):
    """Runs a pipeline; any failing part fails it."""
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, env=env, timeout=PATIENCE_S)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
        control.write("3\n")


def wait_for(what, condition, child):
    end = time.monotonic() + 60
    while not condition():
        if child.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{what} did not come up")
        time.sleep(0.05)


class Server:
    """The S3 server: the one of the environment, or one of our own."""

    def __init__(self, work):
        self.own = "RGW_ENDPOINT" not in os.environ
        if self.own:
            self.dir = os.path.join(work, "rgw")
            out = subprocess.run([os.path.join(SUPPORT, "start-rgw.sh")], check=True, text=True,
                                 stdout=subprocess.PIPE, env={**os.environ, "RGW_DIR": self.dir}).stdout
            settings = dict(word.split("=", 1) for word in shlex.split(out))
        else:
            settings = os.environ
        self.endpoint = settings["RGW_ENDPOINT"]
        self.access = settings["RGW_ACCESS_KEY"]
        self.secret = settings["RGW_SECRET_KEY"]
        self.bucket = settings["RGW_BUCKET"]
        self.logs = os.path.join(settings.get("RGW_STATE", "/nonexistent"), "log")
        self.env = {**os.environ, "AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret,
                    "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}

    def requests(self):
        """How many requests the server's log has, or None."""
        files = glob.glob(os.path.join(self.logs, "*rgw*.log"))
        count = 0
        for name in files:
            with open(name, "rb") as log:
                count += sum(b'" HTTP/1.1" ' in line or b' HTTP/1.1" ' in line for line in log)
        return count if files else None

    def stop(self):
        if self.own:
            subprocess.run([os.path.join(SUPPORT, "stop-rgw.sh")], check=False,
                           env={**os.environ, "RGW_DIR": self.dir, "WIPE": "1"})


class Client:
    """A command-line S3 client: the AWS one, else s3cmd."""

    def __init__(self, server, work):
        aws = "/usr/bin/aws" if os.path.exists("/usr/bin/aws") else shutil.which("aws")
        if aws:
            self.name = "aws"
            base = f"{aws} --endpoint-url {server.endpoint} s3"
            self.put, self.get, self.remove = f"{base} cp - ", f"{base} cp --quiet ", f"{base} rm --recursive --quiet "
        elif shutil.which("s3cmd"):
            self.name = "s3cmd"
            host = server.endpoint.split("//", 1)[1]
            conf = os.path.join(work, "s3cfg")
            with open(os.open(conf, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as out:
                out.write(f"[default]\naccess_key = {server.access}\nsecret_key = {server.secret}\n"
                          f"host_base = {host}\nhost_bucket = {host}\n"
                          f"use_https = {server.endpoint.startswith('https')}\n")
            base = f"s3cmd -q -c {conf}"
            self.put, self.get, self.remove = f"{base} put - ", f"{base} get ", f"{base} del -r -f "
        else:
            sys.exit("bench.py: no S3 client here: apt-get install awscli")


class Mount:
    """A FUSE daemon in the foreground, and its mount point."""

    def __init__(self, command, point, env, log):
        self.point = point
        os.makedirs(point, exist_ok=True)
        self.log = open(log, "ab")
        self.daemon = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            wait_for(shlex.join(command), lambda: os.path.ismount(point), self.daemon)
        except BaseException:
            with open(log, encoding="utf-8", errors="replace") as text:
                sys.stderr.write(text.read()[-2000:])
            self.close()
            raise

    def peak_mib(self):
        with open(f"/proc/{self.daemon.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    def cpu_seconds(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        if os.path.ismount(self.point):
            subprocess.run(["fusermount3", "-u", self.point], check=False)
        try:
            self.daemon.wait(60)
        except subprocess.TimeoutExpired:
            self.daemon.send_signal(signal.SIGKILL)
            self.daemon.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Bench:
    def __init__(self, work, server, dump):
        self.work, self.server, self.dump = work, server, dump
        self.client = Client(server, work)
        self.prefix = f"bench-{os.getpid()}"
        self.peaks = {}
        self.identity = os.path.join(work, "identity")
        subprocess.run(["age-keygen", "-o", self.identity], check=True, stderr=subprocess.DEVNULL)
        self.recipient = subprocess.run(["age-keygen", "-y", self.identity], check=True, text=True,
                                        stdout=subprocess.PIPE).stdout.strip()
        self.conf = os.path.join(work, "bakfs.conf")
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"[store]\nurl = s3://{server.bucket}/{self.prefix}/bakfs\nendpoint = {server.endpoint}\n"
                      f"region = us-east-1\n"
                      f"[seal]\nrecipients = {self.recipient}\nidentity = {self.identity}\n"
                      f"[mount]\npoint = {work}/bakfs\nstate = {work}/state\n"
                      f"[write]\nspool = {work}\n")
        self.seal = f"zstd -3 -T2 -q -c < {shlex.quote(dump)} | age -r {self.recipient}"
        self.unseal = f"age -d -i {self.identity}"
        with open(os.open(os.path.join(work, "passwd-s3fs"), os.O_CREAT | os.O_WRONLY, 0o600), "w",
                  encoding="ascii") as out:
            out.write(f"{server.access}:{server.secret}\n")

    def bakfs(self):
        binary = os.environ.get("BAKFS", os.path.join(TOP, "build", "tools", "bakfs"))
        return Mount([binary, "mount", "-f", "-c", self.conf], f"{self.work}/bakfs", self.server.env,
                     f"{self.work}/bakfs.log")

    def s3fs(self):
        return Mount(["s3fs", self.server.bucket, f"{self.work}/s3fs", "-f", "-o", f"url={self.server.endpoint}",
                      "-o", "use_path_request_style", "-o", f"passwd_file={self.work}/passwd-s3fs",
                      "-o", f"tmpdir={self.work}"], f"{self.work}/s3fs", self.server.env, f"{self.work}/s3fs.log")

    def timed(self, command, mount=None):
        """Seconds, processor seconds of everything but the server, requests."""
        def cpu():
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return usage.ru_utime + usage.ru_stime + (mount.cpu_seconds() if mount else 0)
        requests, busy, start = self.server.requests(), cpu(), time.monotonic()
        shell(command, self.server.env)
        seconds, busy = time.monotonic() - start, cpu() - busy
        after = self.server.requests()
        return seconds, busy, None if after is None else after - requests

    def at_mount(self, name, mount, command):
        """Runs `command` on a fresh mount, which is given the place of the file as {}."""
        with mount() as mounted:
            measured = self.timed(command.replace("{}", shlex.quote(self.place(name, mounted.point))),
                                  mounted)
            self.peaks[name] = max(self.peaks.get(name, 0), mounted.peak_mib())
            return measured

    def place(self, name, point):
        if name == "bakfs":
            place = f"{point}/bench/{time.strftime('%Y-%m-%d', time.gmtime(self.began))}/orders.{self.round}.sql"
        else:
            place = f"{point}/{self.prefix}/s3fs/orders.{self.round}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        return place

    def piped(self):
        return f"s3://{self.server.bucket}/{self.prefix}/pipe/orders.{self.round}"

    def upload(self, name):
        if name == "bakfs":
            return self.at_mount(name, self.bakfs, f"cp {shlex.quote(self.dump)} {{}}")
        if name == "s3fs":
            return self.at_mount(name, self.s3fs, f"{self.seal} > {{}}")
        return self.timed(f"{self.seal} | {self.client.put}{self.piped()}")

    def restore(self, name, into):
        if name == "bakfs":
            return self.at_mount(name, self.bakfs, f"cat {{}} {into}")
        if name == "s3fs":
            return self.at_mount(name, self.s3fs, f"{self.unseal} < {{}} | zstd -d -q -c {into}")
        return self.timed(f"{self.client.get}{self.piped()} - | {self.unseal} | zstd -d -q -c {into}")

    def run(self, rounds):
        names = ["bakfs", self.client.name, "s3fs"]
        times = {(kind, name): [] for kind in ("upload", "restore") for name in names}
        self.began = time.time()
        for self.round in range(rounds):
            for kind in ("upload", "restore"):
                for name in names:
                    drop_caches()
                    if kind == "upload":
                        shell(f"cat {shlex.quote(self.dump)} > /dev/null")
                        measured = self.upload(name)
                    else:
                        measured = self.restore(name, "> /dev/null")
                    times[kind, name].append(measured)
                    print(f"round {self.round + 1}: {kind} {name}: {measured[0]:.2f} s", file=sys.stderr)
        for name in names:
            self.restore(name, f"| cmp - {shlex.quote(self.dump)}")
        return names, times

    def clean(self):
        shell(f"{self.client.remove}s3://{self.server.bucket}/{self.prefix}/ || true", self.server.env)

    def report(self, names, times):
        size = os.path.getsize(self.dump)
        label = {"bakfs": "bakfs", "s3fs": "zstd, age, s3fs mount",
                 self.client.name: f"zstd, age, {self.client.name}"}
        rounds = len(times["upload", "bakfs"])
        print(f"\n{size / 1e6:.1f} MB, median of {rounds}, {os.cpu_count()} processors, server on the same machine.")
        print("Ratio: how much longer the other takes than bakfs. CPU: seconds of all but the server.\n")
        print("| |" + "".join(f" {kind} s | MB/s | ratio | CPU s | requests |" for kind in ("upload", "restore")) +
              " daemon's peak MiB |")
        print("|---" * 12 + "|")
        for name in names:
            row = [label[name]]
            for kind in ("upload", "restore"):
                mine = statistics.median(seconds for seconds, _, _ in times[kind, "bakfs"])
                seconds = statistics.median(seconds for seconds, _, _ in times[kind, name])
                busy = statistics.median(busy for _, busy, _ in times[kind, name])
                counts = [count for _, _, count in times[kind, name] if count is not None]
                row += [f"{seconds:.2f}", f"{size / 1e6 / seconds:.0f}", f"{seconds / mine:.2f}", f"{busy:.2f}",
                        f"{statistics.median(counts):.0f}" if counts else "-"]
            row.append(f"{self.peaks[name]:.0f}" if name in self.peaks else "-")
            print("| " + " | ".join(row) + " |")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-n", "--rounds", type=int, default=3)
    rounds = options.parse_args().rounds
    for tool in ("age", "zstd", "s3fs", "fusermount3"):
        if not shutil.which(tool):
            sys.exit(f"bench.py: {tool} is missing: apt-get install age zstd s3fs fuse3")
    work = tempfile.mkdtemp(prefix="bakfs-bench-")
    server = None
    try:
        dump = os.environ.get("BENCH_FILE")
        if not dump:
            dump = os.path.join(work, "dump.sql")
            subprocess.run([os.path.join(TOP, "tests", "bench", "dump.sh"), dump], check=True)
        server = Server(work)
        bench = Bench(work, server, os.path.abspath(dump))
        try:
            bench.report(*bench.run(rounds))
        except subprocess.CalledProcessError as failed:
            sys.exit(f"bench.py: failed: {failed.cmd[-1]}")
        finally:
            bench.clean()
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
