"""A PostgreSQL of our own in a temporary directory, and the dumps of a pgbench database that the tests share."""

import glob
import os
import shutil
import subprocess
import tempfile


def as_postgres(*command, **how):
    # runuser keeps what a login would change: nothing of it is wanted
    return subprocess.run(["runuser", "-u", "postgres", "--", *command], check=True, **how)


# many tables are dumped in one transaction
OPTIONS = ("-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_wal_size=8GB -c shared_buffers=256MB "
           "-c max_locks_per_transaction=512 -c wal_keep_size=2GB")


class Postgres:
    """A new cluster; or, with `backup`, a server on a data directory that was restored: it is taken over."""

    def __init__(self, backup=None):
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.dir = tempfile.mkdtemp(prefix="bakfs-pg-")
        os.chmod(self.dir, 0o755)
        self.data = os.path.join(self.dir, "data")
        self.socket = os.path.join(self.dir, "socket")
        self.dumps = os.path.join(self.dir, "dumps")
        for path in (self.data, self.socket):
            os.mkdir(path)
            shutil.chown(path, "postgres")
        os.mkdir(self.dumps)
        os.chmod(self.data, 0o700)
        quiet = {"stdout": subprocess.DEVNULL}
        if backup:
            os.rmdir(self.data)
            shutil.move(backup, self.data)
            os.chmod(self.data, 0o700)
            subprocess.run(["chown", "-R", "postgres:", self.data], check=True)
        else:
            as_postgres(self.tool("initdb"), "-D", self.data, "-A", "trust", "-U", "postgres", "-N", cwd="/", **quiet)
        options = "-k %s %s" % (self.socket, OPTIONS)
        as_postgres(self.tool("pg_ctl"), "-D", self.data, "-o", options, "-l", self.data + "/log", "-w", "start", cwd="/", **quiet)
        self.env = dict(os.environ, PGHOST=self.socket, PGUSER="postgres")

    def tool(self, name):
        return os.path.join(self.bin, name)

    def run(self, name, *args, **how):
        done = subprocess.run([self.tool(name), *args], env=self.env, check=False, stderr=subprocess.PIPE, **how)
        if done.returncode:
            raise AssertionError("%s %s: %s" % (name, " ".join(args), done.stderr.decode(errors="replace")))
        return done

    def query(self, database, text):
        return self.run("psql", "-XAtqc", text, database, stdout=subprocess.PIPE).stdout.decode().strip()

    def snapshot(self, database):
        """A session that holds a snapshot: (session, name). Closing its stdin ends it."""
        session = subprocess.Popen([self.tool("psql"), "-XAtq", database], env=self.env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        session.stdin.write(b"begin isolation level repeatable read read only; select pg_export_snapshot();\n")
        session.stdin.flush()
        return session, session.stdout.readline().decode().strip()

    def make_database(self, scale):
        self.run("createdb", "bench")
        self.run("pgbench", "-i", "-q", "-s", str(scale), "bench", stdout=subprocess.DEVNULL)

    def dump(self, name, *args):
        path = os.path.join(self.dumps, name)
        if not os.path.exists(path):
            self.run("pg_dump", "-f", path, *args, "bench")
        return path

    def close(self):
        try:
            as_postgres(self.tool("pg_ctl"), "-D", self.data, "-m", "immediate", "-w", "stop", cwd="/",
                        stdout=subprocess.DEVNULL)
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
