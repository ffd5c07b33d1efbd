"""A process with open files on both sides, the mount and a plain directory, that does what it is told over a socket.

A message is (side, operation) in pickle; the answer ("ok", value), ("errno", number) or, for one that names a descriptor
that is not there, ("void",). Bytes that were read are answered as (length, digest).
"""

import hashlib
import os
import pickle
import socket
import sys

SIDES = ("mount", "plain")
BLOCK = bytes(hashlib.shake_128(b"bakfs model").digest(1 << 20))


def data(kind, size):
    """`size` bytes that depend on `kind`, half of them compressible."""
    if kind % 2:
        piece = b"%d row of a dump, " % kind
        return (piece * (size // len(piece) + 1))[:size]
    at = kind * 4099 % len(BLOCK)
    return ((BLOCK[at:] + BLOCK) * (size // len(BLOCK) + 1))[:size]


def told(content):
    return len(content), hashlib.blake2b(content, digest_size=8).hexdigest()


class Worker:
    def __init__(self, roots):
        self.roots = dict(zip(SIDES, roots))
        self.top = ""
        self.files = {}  # (side, slot): descriptor

    def path(self, side, name):
        return os.path.join(self.roots[side], self.top, name)

    def do(self, side, op):
        name, args = op[0], op[1:]
        return getattr(self, "do_" + name)(side, *args)

    def fd(self, side, slot):
        return self.files[side, slot]

    def do_top(self, _side, top):
        self.top = top

    def do_open(self, side, slot, name, flags):
        self.files[side, slot] = os.open(self.path(side, name), flags | os.O_CLOEXEC, 0o600)

    def do_pread(self, side, slot, off, size):
        return told(os.pread(self.fd(side, slot), size, off))

    def do_read(self, side, slot, size):
        return told(os.read(self.fd(side, slot), size))

    def do_pwrite(self, side, slot, off, size, kind):
        return os.pwrite(self.fd(side, slot), data(kind, size), off)

    def do_write(self, side, slot, size, kind):
        return os.write(self.fd(side, slot), data(kind, size))

    def do_seek(self, side, slot, off, whence):
        return os.lseek(self.fd(side, slot), off, whence)

    def do_ftruncate(self, side, slot, size):
        os.ftruncate(self.fd(side, slot), size)

    def do_fsync(self, side, slot):
        os.fsync(self.fd(side, slot))

    def do_fstat(self, side, slot):
        return os.fstat(self.fd(side, slot)).st_size

    def do_dup(self, side, slot, other):
        self.files[side, other] = os.dup(self.fd(side, slot))

    def do_close(self, side, slot):
        os.close(self.files.pop((side, slot)))

    def do_stat(self, side, name):
        stat = os.stat(self.path(side, name))
        return "dir" if stat.st_mode & 0o40000 else stat.st_size

    def do_list(self, side, name):
        return sorted(os.listdir(self.path(side, name)))

    def do_truncate(self, side, name, size):
        os.truncate(self.path(side, name), size)

    def do_rename(self, side, name, other):
        os.rename(self.path(side, name), self.path(side, other))

    def do_unlink(self, side, name):
        os.unlink(self.path(side, name))

    def do_mkdir(self, side, name):
        os.mkdir(self.path(side, name))

    def do_rmdir(self, side, name):
        os.rmdir(self.path(side, name))


def main():
    link = socket.socket(fileno=int(sys.argv[1]))
    worker = Worker(sys.argv[2:4])
    while True:
        message = link.recv(1 << 16)
        if not message:
            os._exit(0)
        side, op = pickle.loads(message)
        files = []
        try:
            if op[0] == "exit":
                os._exit(op[1])
            if op[0] == "give":
                files = [worker.fd(each, op[1]) for each in SIDES]
                answer = ("ok", None)
            elif op[0] == "take":
                _, files, _, _ = socket.recv_fds(link, 1, 2)
                worker.files.update({(each, op[1]): fd for each, fd in zip(SIDES, files)})
                files, answer = [], ("ok", None)
            else:
                answer = ("ok", worker.do(side, op))
        except KeyError:
            answer = ("void",)
        except OSError as e:
            answer = ("errno", e.errno)
        if files:
            socket.send_fds(link, [pickle.dumps(answer)], files)
        else:
            link.send(pickle.dumps(answer))


if __name__ == "__main__":
    main()
