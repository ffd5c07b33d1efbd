"""Age's public test vectors through our reader: run.py AGE_VECTORS

Every vector of the kinds we implement (X25519 recipients, binary) must behave as it says. What is left out: armor, and what
needs a passphrase or a hybrid identity to be opened.
"""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
KNOWN_KEYS = {"expect", "payload", "compressed", "identity", "passphrase", "armored", "file key", "comment"}
# Refused for their headers alone, no passphrase needed.
WITHOUT_PASSPHRASE = {"scrypt_and_x25519", "scrypt_double"}
EMPTY = hashlib.sha256(b"").hexdigest()
EXPECTED_RUN = 69  # of cctv-age 0.2.0


def parse(data):
    head, body = data.split(b"\n\n", 1)
    fields = {}
    for line in head.decode().split("\n"):
        key, value = line.split(": ", 1)
        fields.setdefault(key, []).append(value)
    if fields.get("compressed") == ["zlib"]:
        body = zlib.decompress(body)
    return fields, body


def is_ours(name, fields):
    if set(fields) - KNOWN_KEYS or "armored" in fields:
        return False
    if "passphrase" in fields and name not in WITHOUT_PASSPHRASE:
        return False
    return all(i.startswith("AGE-SECRET-KEY-1") for i in fields.get("identity", []))


def given_by_age(file, identities):
    """What Debian's age gives out of it before it fails, if it does."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as keys:
        keys.write("\n".join(identities) + "\n")
        keys.flush()
        return subprocess.run(["age", "-d", "-i", keys.name, file], capture_output=True, check=False).stdout


def judge(fields, outcome, file, given):
    """None, or what is wrong."""
    want = fields["expect"][0]
    if outcome != want:
        return f"expected {want}, was {outcome}"
    promised = fields.get("payload", [EMPTY])[0]
    if hashlib.sha256(given).hexdigest() == promised:
        return None
    if want != "payload failure":
        return f"the payload is not the one with SHA-256 {promised}"
    # A reader that opens the last chunk first, and takes no other for the last, may give out less before it fails than one
    # that streams; never something else.
    streamed = given_by_age(file, fields.get("identity", []))
    if hashlib.sha256(streamed).hexdigest() != promised:
        return "age itself does not give out what the vector says"
    return None if streamed.startswith(given) else "what was given out is not the beginning of the payload"


def run(program, fields, file, out):
    ended = subprocess.run([program, file, out, *fields.get("identity", [])], capture_output=True, check=True)
    outcome, said = ended.stdout.decode().rstrip("\n").split("\t")
    return outcome, said, judge(fields, outcome, file, out.read_bytes())


def main():
    if not shutil.which("npm"):
        print("skipped: npm is not installed")
        return 77
    program = sys.argv[1]
    ran, left_out, bad = 0, [], 0
    with tempfile.TemporaryDirectory() as temp:
        subprocess.run([HERE / "fetch.sh", temp], check=True)
        file, out = pathlib.Path(temp, "file.age"), pathlib.Path(temp, "out")
        for vector in sorted(pathlib.Path(temp, "vectors").iterdir()):
            fields, body = parse(vector.read_bytes())
            if not is_ours(vector.name, fields):
                left_out.append(vector.name)
                continue
            file.write_bytes(body)
            outcome, said, wrong = run(program, fields, file, out)
            print(f"{'FAIL' if wrong else 'ok'} {vector.name}: {outcome}: {said} {wrong or ''}")
            ran += 1
            bad += wrong is not None
    print(f"left out ({len(left_out)}): {' '.join(left_out)}")
    print(f"{ran} vectors, {bad} failed")
    if ran != EXPECTED_RUN:
        print(f"expected {EXPECTED_RUN} vectors to be of our kinds")
        return 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
