#!/usr/bin/python3
"""Runs the tests on real mounts.

    run.py --bakfs PROGRAM [--results FILE] [--logs DIR] [--short] [--stores dir,s3] [NAME...]

NAME: part of a test's name. A line a test in --results: "ok|failed|skipped NAME : reason". The S3 store is that of
$RGW_ENDPOINT (tests/support/start-rgw.sh). Root.
"""

import argparse
import importlib
import os
import pathlib
import signal
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import case  # noqa: E402
import mount  # noqa: E402
import stores  # noqa: E402
import verbs  # noqa: E402


class Result(unittest.TextTestResult):
    def __init__(self, *args):
        super().__init__(*args)
        self.verdicts, self.began = [], {}

    def startTest(self, test):
        super().startTest(test)
        self.began[test] = time.monotonic()

    def note(self, verdict, test, reason=""):
        name = test.id() if hasattr(test, "id") else str(test)
        took = time.monotonic() - self.began.get(test, time.monotonic())
        self.verdicts.append("%s %s : %.1fs %s" % (verdict, name, took, " ".join(reason.split())[-300:]))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note("failed", test, str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self.note("failed", test, str(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note("skipped", test, reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.note("failed", test, str(err[1]))


def select(args):
    kinds = args.stores.split(",")
    if "s3" in kinds:
        kinds += stores.FRONTS
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for suite in unittest.defaultTestLoader.loadTestsFromModule(module):
            for test in suite:
                if getattr(test, "kind", None) not in kinds:
                    continue
                if args.short and not getattr(getattr(test, test._testMethodName), "short", False):
                    continue
                if not args.names or any(n in test.id() for n in args.names):
                    yield test


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--bakfs", required=True)
    p.add_argument("--results")
    p.add_argument("--logs")
    p.add_argument("--short", action="store_true")
    p.add_argument("--stores", default="dir,s3")
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    # a shell's job in the background ignores these, and so would all the programs whose deaths are tested
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    mount.BAKFS = os.path.abspath(args.bakfs)
    case.SHORT = args.short
    if args.logs:
        os.makedirs(args.logs, exist_ok=True)
        mount.LOGS = os.path.abspath(args.logs)
    suite = unittest.TestSuite(select(args))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    verbs.close_shared()
    if args.results:
        with open(args.results, "w", encoding="utf8") as f:
            f.writelines(v + "\n" for v in result.verdicts)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
