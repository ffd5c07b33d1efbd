#!/usr/bin/env python3
"""page.py VERSION OUT verb BAKFS VERB | page.py VERSION OUT all BAKFS | page.py VERSION OUT conf SAMPLE

Writes a man page of what the program says of itself: bakfs-VERB(1) of its --help, bakfs(1) of `bakfs help`, bakfs.conf(5)
of the commented sample. Nothing is told twice, so nothing can differ.
"""

import re
import subprocess
import sys

ITEM = re.compile(r"  (\S.*?)(?:  +(\S.*))?$")


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    text = text.replace("'", "\\(aq").replace('"', "\\(dq")
    return "\\&" + text if text[:1] in (".", "'") else text


def said(bakfs, *words):
    # what a verb finds in the configuration of who builds has no place in a page
    done = subprocess.run([bakfs, *words], stdout=subprocess.PIPE, check=True, text=True, env={"LC_ALL": "C.UTF-8"})
    return done.stdout


def blocks(text):
    """Paragraphs: lists of lines, without the empty lines between them."""
    return [block.split("\n") for block in re.split(r"\n\s*\n", text.strip("\n")) if block.strip()]


def header(name, section, version):
    return ['.TH "%s" "%d" "" "bakfs %s" "bakfs"' % (escape(name.upper()), section, escape(version)), ".nh", ".ad l"]


def verbatim(lines):
    shift = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return [".PP", ".RS 4", ".nf", *(escape(line[shift:]) for line in lines), ".fi", ".RE"]


def items(lines):
    """Options and what they do, as .TP; what is no such list stands as it is."""
    starts = [line for line in lines if re.match(r"  \S", line)]
    deep = [len(line) - len(line.lstrip()) for line in lines if not re.match(r"  \S", line)]
    if not starts or not any(ITEM.match(line).group(2) for line in starts) or any(d < 4 for d in deep):
        return verbatim(lines)
    out = []
    for line in lines:
        m = ITEM.match(line)
        if m and re.match(r"  \S", line):
            out += [".TP", "\\fB%s\\fR" % escape(m.group(1))] + ([escape(m.group(2))] if m.group(2) else [])
        else:
            out.append(escape(line.strip()))
    return out


def paragraph(lines):
    """Text, in which indented lines are a list or an example of their own."""
    out, i = [".PP"], 0
    while i < len(lines):
        j = i
        while j < len(lines) and lines[j].startswith("  ") == lines[i].startswith("  "):
            j += 1
        out += items(lines[i:j]) if lines[i].startswith("  ") else [escape(line) for line in lines[i:j]]
        i = j
    return out


def synopsis(lines):
    out = []
    for line in lines:
        text = re.sub(r"^Usage:\s*|^\s+", "", line)
        out += ([".br"] if out else []) + ["\\fB%s\\fR" % escape(text) if not out else escape(text)]
    return out


def body(text, skip_verbs=False):
    out, section = [".SH SYNOPSIS"], "SYNOPSIS"

    def enter(name):
        nonlocal section
        if section != name:
            out.append(".SH " + name)
            section = name

    for block in blocks(text):
        first = block[0]
        if first.startswith("Usage:"):
            out.extend(synopsis(block))
        elif re.match(r"Examples?\b", first):
            enter("EXAMPLES")
            out.extend(paragraph(block))
        elif first.startswith("Exit codes:"):
            enter("EXIT STATUS")
            out.extend(paragraph([first[len("Exit codes:"):].strip().capitalize()] + block[1:]))
        elif re.match(r"  +-", first):
            enter("OPTIONS")
            out.extend(items(block))
        else:
            enter("DESCRIPTION" if section == "SYNOPSIS" else section if section != "EXAMPLES" else "NOTES")
            out.extend(paragraph(block))
    return out


def one_liner(bakfs, verb):
    m = re.search(r"^  %s +(\S.*)$" % re.escape(verb), said(bakfs, "help"), re.M)
    if not m:
        raise SystemExit("page.py: 'bakfs help' does not name the verb %s" % verb)
    return m.group(1)


def verb_page(version, bakfs, verb):
    out = header("bakfs-" + verb, 1, version)
    out += [".SH NAME", "bakfs\\-%s \\- %s" % (escape(verb), escape(one_liner(bakfs, verb)))]
    out += body(said(bakfs, verb, "--help"))
    return out + [".SH SEE ALSO", ".BR bakfs (1),", ".BR bakfs.conf (5)"]


def main_page(version, bakfs):
    text = said(bakfs, "help")
    verbs = re.findall(r"^  ([a-z][a-z-]*) {2,}\S", text, re.M)
    out = header("bakfs", 1, version)
    out += [".SH NAME", "bakfs \\- a store of sealed, compressed database backups as a tree of files"]
    out += body(text)
    out += [".SH FILES", ".TP", "\\fB/etc/bakfs/bakfs.conf\\fR", "The configuration, unless \\-c or BAKFS_CONF names another.",
            ".TP", "\\fB/HOST/DATE/PARTITION/FILE\\fR", "A backup, below the mount point.",
            ".TP", "\\fB/HOST/latest/PARTITION\\fR", "A link to the newest that is good.",
            ".TP", "\\fB/.bakfs/status.json\\fR", "The daemon's report, below the mount point."]
    out += [".SH SEE ALSO"] + [".BR bakfs\\-%s (1)," % escape(verb) for verb in verbs] + [".BR bakfs.conf (5)"]
    return out


def conf_page(version, sample):
    out = header("bakfs.conf", 5, version)
    out += [".SH NAME", "bakfs.conf \\- configuration of bakfs", ".SH DESCRIPTION"]
    with open(sample, encoding="utf8") as f:
        text = f.read()
    in_keys = False
    for block in blocks(text):
        lines = [line[2:] if line.startswith("# ") else line[1:] if line == "#" else line for line in block]
        keys = [line for line in lines if re.match(r"#?[a-z][a-zA-Z_.*]* =", line)]
        section = next((line for line in lines if re.match(r"#?\[.*\]$", line)), None)
        if section:
            out.append(".SH [%s]" % escape(section.strip("#[]")))
            in_keys = True
        comment = [line for line in lines if line not in keys and line != section]
        if keys and in_keys:
            out += [".TP"] + ["\\fB%s\\fR" % escape(key.lstrip("#").strip()) for key in keys[:1]]
            for key in keys[1:]:
                out += [".TQ", "\\fB%s\\fR" % escape(key.lstrip("#").strip())]
            out += [escape(line) for line in comment if line.strip()]
        elif comment:
            out.append(".PP")
            for line in comment:
                out += [escape(line)] if line.strip() else [".PP"]
    return out + [".SH SEE ALSO", ".BR bakfs (1)"]


def main():
    version, path, what, *rest = sys.argv[1:]
    lines = {"verb": verb_page, "all": main_page, "conf": conf_page}[what](version, *rest)
    with open(path, "w", encoding="utf8") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
