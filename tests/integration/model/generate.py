"""Random sequences of operations. What one means is in runner.py."""

import os
import random

KIB, MIB = 1 << 10, 1 << 20
SLOTS, WORKERS = 6, 2
NAMES = ("a", "b", "c", "d/a", "d/b", "e/a", "e/a")
DIRS = ("d", "e", "f")
EDGES = (0, 4 * KIB, 64 * KIB, MIB, 2 * MIB)
FAR = (5 * MIB, 8 * MIB, 16 * MIB)
MODES = (
    (6, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    (2, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    (2, os.O_WRONLY | os.O_CREAT),
    (2, os.O_WRONLY),
    (2, os.O_WRONLY | os.O_TRUNC),
    (3, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    (1, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC),
    (4, os.O_RDWR | os.O_CREAT),
    (3, os.O_RDWR),
    (2, os.O_RDWR | os.O_CREAT | os.O_TRUNC),
    (1, os.O_RDWR | os.O_CREAT | os.O_EXCL),
    (1, os.O_RDWR | os.O_APPEND),
    (1, os.O_RDWR | os.O_TRUNC),
    (1, os.O_RDONLY | os.O_CREAT),
    (5, os.O_RDONLY),
)
OPERATIONS = (
    (9, "open"), (14, "write"), (9, "pwrite"), (7, "pread"), (3, "read"), (2, "seek"), (4, "ftruncate"), (2, "fsync"),
    (2, "dup"), (2, "give"), (10, "close"), (3, "fstat"), (4, "stat"), (2, "list"), (3, "truncate"), (5, "rename"),
    (4, "unlink"), (2, "mkdir"), (1, "rmdir"), (1, "exit"), (1, "kill"),
)


class Sequence:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.far = self.dice.random() < 0.04
        self.open = {}  # slot: what it was opened with, if that succeeds
        self.named = {}  # slot: what it opened
        self.made = []  # names that are there, if all that should succeed did
        self.recent = "a"

    def pick(self, weighted):
        return self.dice.choices([value for _, value in weighted], [weight for weight, _ in weighted])[0]

    def name(self):
        if self.dice.random() < 0.5:
            self.recent = self.dice.choice(NAMES)
        return self.recent

    def there(self):
        """A name that is there, rather one that nobody has open."""
        idle = [n for n in self.made if n not in self.named.values()]
        if idle and self.dice.random() < 0.7:
            return self.dice.choice(idle)
        return self.dice.choice(self.made) if self.made and self.dice.random() < 0.8 else self.name()

    def worker(self):
        return self.dice.randrange(WORKERS)

    def slot(self, but=None):
        """One that is open, rather not with the access mode `but`."""
        fit = [s for s, flags in self.open.items() if flags & os.O_ACCMODE != but]
        if not fit or self.dice.random() < 0.03:
            fit = list(self.open) or list(range(SLOTS))
        return self.dice.choice(fit)

    def free(self):
        return self.dice.choice([s for s in range(SLOTS) if s not in self.open] or list(range(SLOTS)))

    def offset(self):
        edges = EDGES + (FAR if self.far else ())
        return max(0, self.dice.choice(edges) + self.dice.choice((-1, 0, 0, 1, self.dice.randrange(-3000, 3000))))

    def size(self):
        kind = self.dice.random()
        if kind < 0.5:
            return self.dice.randrange(1, 9000)
        if kind < 0.8 or (self.far and kind < 0.9):
            return max(0, self.dice.choice(EDGES[:3]) + self.dice.choice((-1, 0, 1)))
        edges = (MIB, MIB, MIB, 2 * MIB, 3 * MIB) + (FAR if self.far else ())
        return self.dice.choice(edges) + self.dice.choice((-1, 0, 1))

    def kind(self):
        return self.dice.randrange(1000)

    def operation(self):
        dice = self.dice
        what = self.pick(OPERATIONS)
        if what in ("write", "pwrite", "ftruncate", "fsync") and not self.open:
            what = "open"
        if what == "open":
            slot, flags = self.free(), self.pick(MODES)
            name = self.name() if flags & os.O_CREAT else self.there()
            if flags & os.O_CREAT and name not in self.made:
                self.made.append(name)
            if name in self.made:
                self.open[slot], self.named[slot] = flags, name
            return what, self.worker(), slot, name, flags
        if what in ("write", "pwrite"):
            place = (self.offset(),) if what == "pwrite" else ()
            return (what, self.slot(os.O_RDONLY)) + place + (self.size(), self.kind())
        if what == "pread":
            return what, self.slot(os.O_WRONLY), self.offset(), self.size()
        if what == "read":
            return what, self.slot(os.O_WRONLY), self.size()
        if what == "seek":
            return what, self.slot(), self.offset() if dice.random() < 0.5 else 0, dice.choice((os.SEEK_SET, os.SEEK_END))
        if what == "ftruncate":
            return what, self.slot(os.O_RDONLY), self.offset()
        if what in ("dup", "give"):
            slot, other = self.slot(), self.free()
            if slot in self.open:
                self.open.setdefault(other, self.open[slot])
                self.named.setdefault(other, self.named[slot])
            return (what, slot, other) if what == "dup" else (what, slot, other, self.worker())
        if what == "close":
            slot = self.slot()
            self.open.pop(slot, None)
            self.named.pop(slot, None)
            return what, slot
        if what in ("fsync", "fstat"):
            return what, self.slot()
        return self.of_names(what)

    def of_names(self, what):
        dice, worker = self.dice, self.worker()
        if what in ("exit", "kill"):
            return what, worker, dice.choice((0, 0, 1)) if what == "exit" else dice.choice((9, 15))
        if what == "truncate":
            return what, worker, self.there(), self.offset()
        if what == "rename":
            if dice.random() < 0.25:
                return what, worker, dice.choice(DIRS), dice.choice(DIRS)
            name, other = self.there(), dice.choice(NAMES)
            self.made = [n for n in self.made if n not in (name, other)] + [other]
            return what, worker, name, other
        if what in ("mkdir", "rmdir"):
            return what, worker, dice.choice(DIRS)
        if what == "list":
            return what, worker, dice.choice(DIRS + (".",))
        name = self.there()
        if what == "unlink" and name in self.made:
            self.made.remove(name)
        return what, worker, name

    def stored(self):
        """One that is there from the start."""
        name = self.name()
        self.made.append(name)
        return [("open", 0, 0, name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), ("write", 0, self.size(), self.kind()), ("close", 0)]


def sequence(seed):
    made = Sequence(seed)
    ops = [("mkdir", 0, "d"), ("mkdir", 0, "e")][: made.dice.randrange(1, 3)]
    for _ in range(made.dice.randrange(3)):
        ops += made.stored()
    return ops + [made.operation() for _ in range(made.dice.randrange(5, 36))]
