"""The recovery sheet, typed as `bakfs init` printed it, on a machine that has nothing but what the sheet asks for."""

import re
import shlex

from case import Case, both_stores
from machine import Machine, s3_env

# Packages need no network here: what the sheet names must be one that Debian has, or that is installed.
APT_GET = r"""#!/bin/sh
[ "$1" = update ] && exit 0
[ "$1 $2" = "install -y" ] || exit 2
shift 2
for package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
        apt-cache show "$package" >/dev/null 2>&1 || { echo "no package $package" >&2; exit 100; }
done
"""
# bakfs is built already: it is put in place, and the sheet must have asked for that alone.
QUICKSTART = '#!/bin/sh\n[ "$*" = --install ] && mv /root/built /usr/bin/bakfs\n'

SCHEMA = """
create role clerk;
create table orders (id serial primary key, customer text not null, total numeric(10,2));
insert into orders (customer, total) select 'customer ' || i, i * 1.5 from generate_series(1, 5000) i;
create index on orders (customer);
grant select on orders to clerk;
"""


class Sheet:
    """The numbered steps of the sheet in what init printed."""

    def __init__(self, said):
        self.text = said[said.index("RECOVERY SHEET") : said.index("=" * 76, said.index("RECOVERY SHEET") + 60)]
        self.secret = re.search(r"^ +(AGE-SECRET-KEY-1[A-Z0-9]+)$", self.text, re.M).group(1)
        self.steps = {}
        for number, body in re.findall(r"^(\d)\. (.*?)(?=^\d\. |\Z)", self.text, re.M | re.S):
            typed = [line[7:] for line in body.split("\n") if line.startswith("       ")]
            self.steps[int(number)] = "\n".join(typed) + "\n"

    def typed(self, number, **words):
        text = self.steps[number]
        for word, value in words.items():
            text = re.sub(r"\b%s\b" % word, value, text)
        return text


@both_stores
class RecoverySheet(Case):
    def machine(self, name, env=None):
        m = Machine(name, env)
        self.addCleanup(m.close)
        if self.kind == "dir": # the disk that outlives the host
            m.do("mkdir -p /mnt/disk && mount --bind %s /mnt/disk" % shlex.quote(m.under(self.store.root)))
        return m

    def back_up(self):
        """A host that is lost afterwards. -> what init printed"""
        old = self.machine("db1", s3_env(self.store))
        url = "dir:/mnt/disk" if self.kind == "dir" else self.store.url
        options = "" if self.kind == "dir" else " --endpoint %(endpoint)s --region %(region)s" % self.store.settings
        said = old.do("bakfs init --store %s%s" % (url, options))
        old.start_postgres()
        old.do("createdb orders", user="postgres")
        old.sql(SCHEMA, "orders")
        old.write("/etc/bakfs/bakfs.conf", old.read("/etc/bakfs/bakfs.conf") + "[database orders]\nconninfo = user=postgres dbname=orders\n")
        old.do("bakfs mount && bakfs backup orders && bakfs umount")
        old.close()
        return said

    def test_typed_as_printed_it_ends_in_pass(self):
        sheet = Sheet(self.back_up())
        self.assertEqual(sorted(sheet.steps), [1, 2, 3, 4, 5, 6], sheet.text)
        new = self.machine("bare")
        new.write("/usr/local/bin/apt-get", APT_GET, 0o755)
        new.write("/root/tools/quickstart.sh", QUICKSTART, 0o755)
        new.do("mv /usr/bin/bakfs /root/built; ! command -v bakfs; [ ! -e /etc/bakfs ]; [ ! -e /var/lib/bakfs ]")
        # a terminal: Enter, Ctrl-D
        code, said = new.typed(sheet.steps[1], sheet.secret + "\n\x04")
        self.assertEqual(code, 0, said)
        self.assertEqual(new.do("stat -c %a /root/key.txt").strip(), "600")
        new.start_postgres("local all all peer\n") # as Debian's package would
        # what is exported in one step holds in the next: it is one shell
        script = "".join(sheet.typed(step, HOST="db1", PARTITION="orders") for step in (2, 3, 4, 5) if sheet.steps[step] != "\n")
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            script = script.replace("AWS_%s=..." % name, "AWS_%s=%s" % (name, self.store.env.get("AWS_" + name)))
        said = new.do(script)
        self.assertRegex(said.strip().split("\n")[-1], r"^PASS", said)
        self.assertEqual(new.sql("select count(*), sum(total) from orders", "orders"), "5000|18753750.00")
        self.assertEqual(new.sql("select has_table_privilege('clerk', 'orders', 'select')", "orders"), "t")
        self.without_bakfs(new, sheet)

    def without_bakfs(self, new, sheet):
        """Step 6: the object by standard tools, and pg_restore takes it."""
        path = new.do("cd /mnt/bak && ls db1/2*/orders/*.dump").strip()
        host, date, partition, file = path.split("/")
        new.do("umount /mnt/bak && rm /usr/bin/bakfs")
        env = dict(s3_env(self.store))
        env.pop("AWS_ENDPOINT_URL", None) # the sheet says it
        said = new.do(sheet.typed(6, HOST=host, DATE=date, PARTITION=partition, FILE=file.replace("\\", "")) .replace("> " + file, "> /root/" + file), env=env)
        self.assertIn(path + ".zst.age", said)
        new.do("createdb again && pg_restore -e -d again /root/" + file)
        self.assertEqual(new.sql("select count(*) from orders", "again"), "5000")

    def test_a_cut_object_is_not_taken_for_whole(self):
        """Why the sheet insists on pipefail."""
        sheet = Sheet(self.back_up())
        key = next(k for k in self.store.keys() if k.endswith(".dump.zst.age"))
        self.store.put(key, self.store.get(key)[:-70])
        new = self.machine("bare", s3_env(self.store))
        new.typed(sheet.steps[1], sheet.secret + "\n\x04")
        host, date, partition, file = key[: -len(".zst.age")].split("/")
        code, said = new.shell("cd /root\n" + sheet.typed(6, HOST=host, DATE=date, PARTITION=partition, FILE=file))
        self.assertNotEqual(code, 0, said)
