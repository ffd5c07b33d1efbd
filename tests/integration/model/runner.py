"""Runs a sequence of operations on a mount and in a plain directory, and compares.

    ("open", WORKER, SLOT, NAME, flags)                     a slot is an open file of one worker
    ("write", SLOT, size, kind) ("pwrite", SLOT, off, size, kind) ("read", SLOT, size) ("pread", SLOT, off, size)
    ("seek", SLOT, off, whence) ("ftruncate", SLOT, size) ("fsync", SLOT) ("fstat", SLOT) ("close", SLOT)
    ("dup", SLOT, NEW) ("give", SLOT, NEW, WORKER)          give: the descriptor is sent to another process
    ("stat" | "unlink" | "mkdir" | "rmdir" | "list", WORKER, NAME) ("truncate", WORKER, NAME, size)
    ("rename", WORKER, NAME, NAME) ("exit", WORKER, status) ("kill", WORKER, signal)

An operation on a slot that is not open is skipped, so any part of a sequence is a sequence.

The mount may differ from the plain directory only so:
  1. BUSY: a name of which a file is being written, or a directory with such a file below, cannot be renamed or removed (EBUSY): before the
     commit there is nothing in the store that could be.
  2. UNREADABLE: what is streamed cannot be read back before its commit (EBUSY; EIO for who opened it O_RDWR later): parts
     of an upload cannot be fetched. Nor can others read what is being written: EBUSY, or what is stored, whole.
     A large read is several requests: it may give what comes before such an error.
  3. FIXED: full frames behind the head of a streamed file cannot be rewritten or cut off: EIO, which is latched: every
     later write, fsync, ftruncate and close gives EIO, and the name is what it was before the file was opened. So is a head
     that was rewritten after it was full, when it does not fit into the part reserved for it (a hole that was filled): EIO of close.
  4. LOOSE: a file opened before its name was renamed, removed or overwritten keeps reading what it was opened on, or reads
     what stands there now, or gets EIO, EBUSY or ESTALE; never a mixture. Writing through it may be refused.
  5. DEAD: a file whose writer is killed or exits non-zero with it open becomes what it was before.
  6. LATE: a file of which nothing was written is stored at its release, which is just after the close.
"""

import contextlib
import errno
import os
import pickle
import signal
import socket
import subprocess
import sys
import time

from model import worker as files

MIB = 1 << 20
WORKERS = 2
BUSY = {errno.EBUSY}
UNREADABLE = {errno.EBUSY, errno.EIO}
REFUSED = {errno.EIO, errno.EBUSY, errno.ESTALE, errno.EPERM, errno.EEXIST, errno.ENOENT}
SECONDS = 60  # a bound for what hangs


class Difference(Exception):
    pass


class File:
    """What stands, or stood, under a name. `stored`: what the store may have of it; None: nothing."""

    def __init__(self, name, stored):
        self.name, self.stored = name, [stored]
        self.was = None  # its name, when it was given up
        self.holders = 0  # open files that keep it from its commit
        self.streamed = self.changed = self.written = self.shared = self.filled = False
        self.top = 0  # end of what was written
        self.members = set()

    def fixed(self):
        return self.top // MIB * MIB if self.streamed else 0

    def committed(self, content):
        self.stored = [content]
        self.streamed = self.changed = self.written = self.shared = self.filled = False
        self.top = 0
        self.members = set()


class Open:
    def __init__(self, file, worker, flags, seen):
        self.file, self.worker, self.flags, self.seen = file, worker, flags, seen
        self.writable = flags & os.O_ACCMODE != os.O_RDONLY
        self.holds = self.writable
        self.loose = self.dead = False


class Process:
    def __init__(self, roots):
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.settimeout(SECONDS)
        with theirs:
            self.child = subprocess.Popen([sys.executable, "-E", files.__file__, str(theirs.fileno()), *roots],
                                          pass_fds=[theirs.fileno()])

    def ask(self, side, op):
        try:
            self.link.send(pickle.dumps((side, op)))
            message = self.link.recv(1 << 16)
        except TimeoutError:
            raise Difference("%s hangs on the %s" % (op, side)) from None
        if not message:
            raise Difference("the worker is gone at %s" % (op,))
        return pickle.loads(message)

    def end(self, code=None, number=None):
        if number:
            self.child.send_signal(number)
        else:
            with contextlib.suppress(OSError):
                self.link.send(pickle.dumps(("mount", ("exit", code or 0))))
        try:
            self.child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise Difference("the end of a worker hangs") from None
        finally:
            self.link.close()


class Runner:
    """`mount`, `plain`: two directories. `head`: [write] head. `is_plain`: the mount is a plain directory itself."""

    def __init__(self, mount, plain, head, is_plain=False, wrong=None, streams=True):
        self.roots, self.head, self.is_plain = (mount, plain), head, is_plain
        self.streams = streams  # False: [write] seek = spool
        self.wrong = wrong  # (operation) -> what the plain directory does instead: to see the harness fail
        self.workers = [Process(self.roots) for _ in range(WORKERS)]
        self.top, self.opened, self.names = "", {}, {}

    def close(self):
        for process in self.workers:
            with contextlib.suppress(Difference):
                process.end()

    # --- one sequence ---

    def run(self, ops, top):
        """Raises Difference. `top`: a directory for this sequence, which is not there yet."""
        self.top, self.opened, self.names = top, {}, {}
        for root in self.roots:
            os.makedirs(os.path.join(root, top))
        for process in self.workers:
            process.ask("", ("top", top))
        at = "the start"
        try:
            for number, op in enumerate(ops):
                at = "operation %d, %s" % (number, op)
                self.step(op)
            for slot in sorted(self.opened):
                at = "the close of slot %d at the end" % slot
                self.step(("close", slot))
            at = "the end"
            self.compare_trees()
        except Difference as e:
            self.forget()
            raise Difference("%s: %s" % (at, e)) from None

    def forget(self):
        """After a difference: no open file of it stays."""
        for i in range(WORKERS):
            with contextlib.suppress(Difference):
                self.workers[i].end(number=signal.SIGKILL)
            self.workers[i] = Process(self.roots)
        self.opened = {}

    def step(self, op):
        what = op[0]
        if what in ("exit", "kill"):
            self.end_worker(op)
        elif what in ("open", "stat", "unlink", "mkdir", "rmdir", "list", "truncate", "rename"):
            getattr(self, "on_" + what)(*op[1:])
        elif op[1] in self.opened:
            getattr(self, "on_" + what)(self.opened[op[1]], *op[1:])

    def ask(self, worker, op, allowed=(), also=()):
        """The answer of both sides; None where the mount refuses what it may refuse: then the other is not asked.
        `also`: other answers that are right."""
        mine = self.workers[worker].ask("mount", op)
        if mine[0] == "errno" and mine[1] in allowed:
            return None
        theirs = self.workers[worker].ask("plain", self.wrong(op) if self.wrong else op)
        if mine != theirs and mine not in also:
            raise Difference("the mount says %s, the directory %s" % (self.say(mine), self.say(theirs)))
        return mine

    @staticmethod
    def say(answer):
        return errno.errorcode.get(answer[1], answer[1]) if answer[0] == "errno" else answer[1:]

    # --- contents ---

    def path(self, side, name):
        return os.path.join(self.roots[files.SIDES.index(side)], self.top, name)

    def content(self, side, name):
        """Through a fresh open; an errno, or None if there is nothing."""
        try:
            with open(self.path(side, name), "rb", buffering=0) as f:
                content = b""
                while True:
                    piece = f.read(4 * MIB)
                    if not piece:
                        return content
                    content += piece
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            return e.errno

    @staticmethod
    def show(content):
        if isinstance(content, int):
            return errno.errorcode.get(content, content)
        return "nothing" if content is None else "%d bytes, %s" % files.told(content)

    def wait_stored(self, name):
        end = time.monotonic() + SECONDS
        while not self.is_plain:
            try:
                if os.getxattr(self.path("mount", name), "user.bakfs.state") != b"writing":
                    return
            except OSError as e:
                if e.errno in (errno.ENOENT, errno.ENOTDIR):
                    return
                raise Difference("user.bakfs.state of %s: %s" % (name, e)) from None
            if time.monotonic() > end:
                raise Difference("'%s' is closed by all and still being written" % name)
            time.sleep(0.001)

    def check(self, file):
        """After a close, or what else may have committed."""
        if file.name is None:
            return
        plain = self.content("plain", file.name)
        if file.holders:
            if file.changed and plain not in file.stored:
                file.stored.append(plain)
            seen = self.content("mount", file.name)
            if seen not in UNREADABLE and seen != plain and seen not in file.stored:
                raise Difference("'%s' is %s while it is written, %s in the directory, and was %s" % (
                    file.name, self.show(seen), self.show(plain), [self.show(s) for s in file.stored]))
            return
        if not file.written:
            self.wait_stored(file.name)
        seen = self.content("mount", file.name)
        if seen != plain:
            raise Difference("'%s' is %s, in the directory %s" % (file.name, self.show(seen), self.show(plain)))
        size = os.stat(self.path("mount", file.name)).st_size
        if size != len(plain):
            raise Difference("'%s' has the size %d, in the directory %d" % (file.name, size, len(plain)))
        file.committed(plain)

    def compare_trees(self):
        trees = []
        for root in self.roots:
            top, found = os.path.join(root, self.top), set()
            for base, dirs, names in os.walk(top):
                found |= {os.path.relpath(os.path.join(base, n), top) for n in names}
                found |= {os.path.relpath(os.path.join(base, n), top) + "/" for n in dirs}
            trees.append(found)
        if trees[0] != trees[1]:
            raise Difference("only on the mount: %s; only in the directory: %s" % (
                sorted(trees[0] - trees[1]), sorted(trees[1] - trees[0])))
        for name in self.names:
            plain, seen = self.content("plain", name), self.content("mount", name)
            if plain != seen:
                raise Difference("'%s' is %s, in the directory %s" % (name, self.show(seen), self.show(plain)))

    # --- files and names ---

    def handles(self, file):
        return [h for h in self.opened.values() if h.file is file]

    def loosen(self, file, name=None):
        """What was opened on it goes its own way."""
        file.name = name
        for h in self.handles(file):
            h.loose = True

    def changes(self, file, worker, written=True):
        file.changed = True
        file.written |= written
        file.members.add(worker)
        for h in self.handles(file):
            h.loose |= not h.writable  # it may have been opened on what is stored

    def give_up(self, file):
        """3 and 5: nothing of it is stored; the name is what it was. The directory is put right."""
        for h in self.handles(file):
            h.dead, h.loose = h.holds, not h.holds
            h.seen += [s for s in file.stored if s is not None]
        self.wait_stored(file.name)
        seen = self.content("mount", file.name)
        if seen not in file.stored:
            raise Difference("'%s' was given up and is %s; it was %s" % (
                file.name, self.show(seen), [self.show(s) for s in file.stored]))
        path = self.path("plain", file.name)
        os.unlink(path)
        del self.names[file.name]
        if seen is not None:
            with open(path, "wb") as f:
                f.write(seen)
            self.names[file.name] = File(file.name, seen)
        file.was, file.name, file.holders = file.name, None, 0

    def is_writing(self, name):
        below = name + "/"
        return any(f.holders or f.changed for n, f in self.names.items() if n == name or n.startswith(below))

    # --- operations on names ---

    def on_open(self, worker, slot, name, flags):
        if slot in self.opened:
            return
        file = self.names.get(name)
        before = self.content("plain", name)
        if self.ask(worker, ("open", slot, name, flags))[0] != "ok":
            return
        if not file:
            file = self.names[name] = File(name, None)
        creates, cuts = before is None, bool(flags & os.O_TRUNC)
        if cuts and before:
            for h in self.handles(file):
                h.loose |= not h.writable or not file.changed
        seen = [s for s in file.stored + [self.content("plain", name)] if s is not None]
        h = self.opened[slot] = Open(file, worker, flags, seen)
        h.holds |= creates
        if h.holds:
            file.holders += 1
            file.members.add(worker)
        if creates or cuts:
            if flags & os.O_ACCMODE == os.O_WRONLY and self.streams:
                file.streamed = True
            if cuts:
                file.top = 0
            self.changes(file, worker, False)

    def on_stat(self, worker, name):
        self.ask(worker, ("stat", name))

    def on_list(self, worker, name):
        self.ask(worker, ("list", name))

    def on_mkdir(self, worker, name):
        self.ask(worker, ("mkdir", name))

    def on_rmdir(self, worker, name):
        self.ask(worker, ("rmdir", name))

    def on_unlink(self, worker, name):
        answer = self.ask(worker, ("unlink", name), BUSY if self.is_writing(name) else ())
        if answer and answer[0] == "ok":
            self.loosen(self.names.pop(name))

    def on_truncate(self, worker, name, size):
        file = self.names.get(name)
        if file and self.may_fix(file, size, None):
            if self.ask(worker, ("truncate", name, size), {errno.EIO}) is None:
                self.give_up(file)
                return
        elif self.ask(worker, ("truncate", name, size))[0] != "ok":
            return
        was_changed = file.changed
        self.truncated(file, worker, size)
        if not was_changed:  # stored when it returns
            file.stored, file.changed = [self.content("plain", name)], False
            if self.content("mount", name) != file.stored[0]:
                raise Difference("'%s' is not what truncate made of it" % name)
        if not file.holders:
            self.check(file)

    def on_rename(self, worker, name, other):
        busy = self.is_writing(name) or self.is_writing(other)
        answer = self.ask(worker, ("rename", name, other), BUSY if busy else ())
        if not answer or answer[0] != "ok" or name == other:
            return
        if other in self.names:
            self.loosen(self.names.pop(other))
        for old in [n for n in self.names if n == name or n.startswith(name + "/")]:
            file = self.names.pop(old)
            self.names[other + old[len(name) :]] = file
            self.loosen(file, other + old[len(name) :])
            self.check(file)

    # --- operations on open files ---

    def may_fix(self, file, off, size):
        """Does this reach what is fixed behind the head? size None: a truncation."""
        return self.head < file.fixed() and off < file.fixed() and (size is None and off >= self.head or
                                                                    size and off + size > self.head)

    def truncated(self, file, worker, size):
        file.top = min(file.top, size)
        self.changes(file, worker)

    def reading(self, h):
        if h.dead or h.loose:
            return UNREADABLE | {errno.ESTALE}
        writing = h.file.changed
        return UNREADABLE if writing and (h.file.streamed or not h.writable) else ()

    def on_pread(self, h, slot, off, size):
        allowed = self.reading(h)
        if h.loose and h.file.was in self.names:  # made anew
            h.seen = h.seen + [self.content("plain", h.file.was)]
        also = [("ok", files.told(s[off : off + size])) for s in h.seen] if h.loose else []
        if h.dead:
            self.workers[h.worker].ask("mount", ("pread", slot, off, size))
            return
        mine = self.workers[h.worker].ask("mount", ("pread", slot, off, size))
        if mine[0] == "ok" and allowed and mine[1][0] < size:  # several requests: what could be read of it, then the errno
            rest = self.workers[h.worker].ask("mount", ("pread", slot, off + mine[1][0], size - mine[1][0]))
            if rest[0] == "errno" and rest[1] in allowed:
                size = mine[1][0]
                also = [("ok", files.told(s[off : off + size])) for s in h.seen] if h.loose else []
        elif mine[0] == "errno" and mine[1] in allowed:
            return
        theirs = self.workers[h.worker].ask("plain", ("pread", slot, off, size))
        if mine != theirs and mine not in also:
            raise Difference("the mount says %s, the directory %s" % (self.say(mine), self.say(theirs)))

    def on_read(self, h, slot, size):
        if h.dead or h.loose or self.reading(h):
            return  # the two positions would part
        self.ask(h.worker, ("read", slot, size))

    def on_seek(self, h, slot, off, whence):
        if not (h.dead or h.loose):
            self.ask(h.worker, ("seek", slot, off, whence))

    def on_fstat(self, h, slot):
        if h.dead or (h.loose and h.file.name is None):
            return
        allowed = {errno.ESTALE, errno.ENOENT, errno.EIO} if h.loose else ()
        self.ask(h.worker, ("fstat", slot), allowed, [("ok", len(s)) for s in h.seen] if h.loose else [])

    def change(self, h, op, off, size):
        """A write or a truncation. True if it was done."""
        if h.dead and h.writable:
            mine = self.workers[h.worker].ask("mount", op)
            if mine != ("errno", errno.EIO) and size != 0 and h.file.name is None and not h.loose:
                raise Difference("a failed file took a change: %s" % self.say(mine))
            return False
        fixes = self.may_fix(h.file, off, size)
        allowed = REFUSED if h.loose else {errno.EIO} if fixes else ()
        answer = self.cut_short(h, op) if fixes and size else self.ask(h.worker, op, allowed)
        if answer is None:
            if h.loose and not fixes:
                h.dead = True
                h.file.holders -= h.holds
                h.holds = False
            else:
                self.give_up(h.file)
        if answer and size and off < self.head < h.file.top and h.file.streamed:
            h.file.filled = True
        return answer is not None and answer[0] == "ok"

    def cut_short(self, h, op):
        """A large write is several requests: some of it may be taken before the EIO, which is latched all the same."""
        mine = self.workers[h.worker].ask("mount", op)
        if mine == ("ok", op[-2]):
            theirs = self.workers[h.worker].ask("plain", op)
            if mine == theirs:
                return mine
        if mine == ("errno", errno.EIO) or (mine[0] == "ok" and 0 < mine[1] < op[-2]):
            return None
        raise Difference("the mount says %s" % self.say(mine))

    def on_pwrite(self, h, slot, off, size, kind):
        if h.flags & os.O_APPEND:
            return self.on_write(h, slot, size, kind, ("pwrite", slot, off, size, kind))
        if self.change(h, ("pwrite", slot, off, size, kind), off, size) and size:
            h.file.top = max(h.file.top, off + size)
            self.changes(h.file, h.worker)

    def on_write(self, h, slot, size, kind, op=None):
        if not h.writable:
            self.ask(h.worker, ("write", slot, size, kind))
            return
        off = 0
        if not h.dead:
            if h.flags & os.O_APPEND:
                off = os.stat(self.path("plain", h.file.name)).st_size if h.file.name else 0
            else:
                off = self.workers[h.worker].ask("plain", ("seek", slot, 0, os.SEEK_CUR))[1]
        if self.change(h, op or ("write", slot, size, kind), off, size) and size:
            h.file.top = max(h.file.top, off + size)
            self.changes(h.file, h.worker)

    def on_ftruncate(self, h, slot, size):
        if self.change(h, ("ftruncate", slot, size), size, None):
            self.truncated(h.file, h.worker, size)

    def on_fsync(self, h, slot):
        if h.dead:
            return
        self.ask(h.worker, ("fsync", slot), REFUSED if h.loose else ())

    def on_dup(self, h, slot, other):
        if other in self.opened:
            return
        self.ask(h.worker, ("dup", slot, other))
        self.copied(h, other, h.worker)

    def copied(self, h, other, worker):
        new = self.opened[other] = Open(h.file, worker, h.flags, h.seen)
        new.holds, new.loose, new.dead = h.holds, h.loose, h.dead
        h.file.holders += h.holds

    def on_give(self, h, slot, other, worker):
        if other in self.opened:
            return
        if worker == h.worker:
            return
        one, two = self.workers[h.worker], self.workers[worker]
        one.link.send(pickle.dumps(("", ("give", slot))))
        _, fds, _, _ = socket.recv_fds(one.link, 1 << 16, 2)
        two.link.send(pickle.dumps(("", ("take", other))))
        socket.send_fds(two.link, [b"x"], fds)
        pickle.loads(two.link.recv(1 << 16))
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        h.file.shared = True
        self.copied(h, other, worker)

    def on_close(self, h, slot):
        del self.opened[slot]
        mine = self.workers[h.worker].ask("mount", ("close", slot))
        self.workers[h.worker].ask("plain", ("close", slot))
        if h.dead:
            return
        h.file.holders -= h.holds
        if mine == ("errno", errno.EIO) and h.file.filled:
            self.opened[slot] = h
            self.give_up(h.file)
            del self.opened[slot]
            return
        if mine[0] != "ok" and not (h.loose and mine[1] in REFUSED):
            raise Difference("close says %s" % self.say(mine))
        if h.writable or h.holds:
            self.check(h.file)

    # --- ends of processes ---

    def end_worker(self, op):
        what, worker, code = op
        held = {slot: h for slot, h in self.opened.items() if h.worker == worker}
        touched = {h.file for h in held.values() if h.holds and not h.dead}
        bad = what == "kill" or code != 0
        for file in touched:
            others = any(h.holds and h.worker != worker for h in self.handles(file))
            unclear = file.shared or file.filled or (others and not file.changed)
            if unclear or any(h.loose for h in self.handles(file) if h.holds):
                return
        self.workers[worker].end(code, code if what == "kill" else None)
        self.workers[worker] = Process(self.roots)
        self.workers[worker].ask("", ("top", self.top))
        for slot, h in held.items():
            del self.opened[slot]
            if not h.dead:
                h.file.holders -= h.holds
        for file in touched:
            if file.name is not None and bad and file.changed and not self.is_plain:
                file.holders = 0
                self.give_up(file)
            else:
                self.check(file)
