#!/usr/bin/python3
"""Runs a program on the large vectors, made in a temporary directory: large.py PROGRAM"""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

with tempfile.TemporaryDirectory() as top:
    subprocess.run([sys.executable, os.path.join(HERE, "generate.py"), "--large", top], check=True)
    sys.exit(subprocess.run([sys.argv[1], top], check=False).returncode)
