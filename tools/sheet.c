#include "tools/sheet.h"

#include <stdbool.h>
#include <string.h>

// Within single quotes of a shell; what is in the configuration holds no control characters.
static void print_within_quotes(FILE *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            fputs("'\\''", out);
        else
            fputc(*p, out);
    }
}

static void print_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    print_within_quotes(out, text);
    fputc('\'', out);
}

static void print_key(FILE *out, const struct sheet *sheet)
{
    if (sheet->escrow_secret) {
        fprintf(
            out,
            "The escrow key. It opens every backup, it is shown this once, and it is stored\n"
            "nowhere: print this sheet or copy these two lines to where this host cannot burn.\n"
            "\n"
            "    # public key: %s\n"
            "    %s\n"
            "\n"
            "1. The key. Type the line AGE-SECRET-KEY-1... into a file, then Enter and Ctrl-D:\n",
            sheet->escrow, sheet->escrow_secret);
    } else if (sheet->escrow) {
        fprintf(out,
                "1. The key. Get the secret key of %s\n"
                "   from where it is kept, and type it into a file, then Enter and Ctrl-D:\n",
                sheet->escrow);
    } else {
        fprintf(
            out,
            "NO ESCROW KEY: the only key that opens the backups is the file\n"
            "    %s\n"
            "on this host. When the host is gone, so are all backups: copy it elsewhere now.\n"
            "\n"
            "1. The key. Type the last line of that file into another, then Enter and Ctrl-D:\n",
            sheet->identity_path);
    }
    fputs("       (umask 077; cat > /root/key.txt)\n", out);
}

static bool is_s3(const struct sheet *sheet)
{
    return strncmp(sheet->url, "s3://", 5) == 0;
}

// How to reach the store, and what to install.
static void print_needs(FILE *out, const struct sheet *sheet)
{
    if (is_s3(sheet)) {
        fputs("2. The store's credentials; those that may only read will do:\n"
              "       export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...\n",
              out);
        if (*sheet->region)
            fprintf(out, "       export AWS_REGION=%s AWS_DEFAULT_REGION=%s\n", sheet->region,
                    sheet->region);
    } else {
        fputs("2. The disk with the store, at ", out);
        print_quoted(out, sheet->url + strlen("dir:"));
        fputs("\n", out);
    }
    fprintf(out,
            "3. A server, the standard tools, and bakfs from the directory with its source:\n"
            "       apt-get update && apt-get install -y postgresql age zstd%s\n"
            "       tools/quickstart.sh --install\n",
            is_s3(sheet) ? " awscli" : "");
}

static void print_setting(FILE *out, const char *key, const char *value)
{
    if (!*value)
        return;
    fprintf(out, " \\\n           '%s = ", key);
    print_within_quotes(out, value);
    fputc('\'', out);
}

static void print_mount(FILE *out, const struct sheet *sheet)
{
    fputs("4. All backups as a tree of files, to read only, and what there is:\n"
          "       printf '%s\\n' '[store]'",
          out);
    print_setting(out, "url", sheet->url);
    print_setting(out, "endpoint", sheet->endpoint);
    print_setting(out, "region", sheet->region);
    fputs(" \\\n           '[seal]' 'identity = /root/key.txt' '[mount]' 'point = /mnt/bak' \\\n"
          "           > /root/bakfs.conf\n"
          "       export BAKFS_CONF=/root/bakfs.conf\n"
          "       mkdir -p /mnt/bak && bakfs mount -o ro && bakfs list\n",
          out);
}

static void print_restore(FILE *out)
{
    fputs(
        "5. Restore one of them: HOST and PARTITION as the list has them. First let root into the\n"
        "   server, then make the roles (those that are there already do no harm):\n"
        "       cd / && runuser -u postgres -- createuser -s root\n"
        "       psql -X -d postgres -f \"$(ls /mnt/bak/HOST/latest/PARTITION/*.globals.sql | tail "
        "-n 1)\"\n"
        "       bakfs restore HOST PARTITION --to dbname=postgres --into PARTITION --yes\n"
        "   The last line says PASS when it is what was dumped; FAIL says what is not.\n",
        out);
}

// BUCKET/PREFIX/ of s3://BUCKET/PREFIX
static void print_s3_place(FILE *out, const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    fprintf(out, "%.*s/", (int)len, url);
}

static void print_aws(FILE *out, const struct sheet *sheet, const char *verb)
{
    fputs("       aws", out);
    if (*sheet->endpoint) {
        fputs(" --endpoint-url ", out);
        print_quoted(out, sheet->endpoint);
    }
    fprintf(out, " s3 %s ", verb);
}

static void print_without_bakfs(FILE *out, const struct sheet *sheet)
{
    fputs(
        "6. Or one file without bakfs, by standard tools, in bash: what there is, and one of it:\n",
        out);
    if (is_s3(sheet)) {
        print_aws(out, sheet, "ls --recursive");
        print_s3_place(out, sheet->url);
        fputs("\n       set -o pipefail\n", out);
        print_aws(out, sheet, "cp");
        print_s3_place(out, sheet->url);
        fputs("HOST/DATE/PARTITION/FILE.zst.age - |\n", out);
    } else {
        const char *dir = sheet->url + strlen("dir:");
        fputs("       find ", out);
        print_quoted(out, dir);
        fputs(" -name '*.zst.age'\n       set -o pipefail\n       cat ", out);
        print_quoted(out, dir);
        fputs("/HOST/DATE/PARTITION/FILE.zst.age |\n", out);
    }
    fputs("           age -d -i /root/key.txt | zstd -d > FILE\n"
          "   Never without pipefail: when the exit status is not 0, FILE is cut and not to be "
          "used.\n"
          "   FILE.dump is for pg_restore, FILE.sql for psql.\n",
          out);
}

void sheet_print(FILE *out, const struct sheet *sheet)
{
    fputs("\n======== RECOVERY SHEET: how to get the data back on a bare machine ========\n\n"
          "The backups are in ",
          out);
    fputs(sheet->url, out);
    if (*sheet->endpoint)
        fprintf(out, " at %s", sheet->endpoint);
    if (*sheet->region)
        fprintf(out, ", region %s", sheet->region);
    fputs("\nIt takes a Debian 12, as root, this sheet and a copy of bakfs's source: keep them "
          "together.\n\n",
          out);
    print_key(out, sheet);
    print_needs(out, sheet);
    print_mount(out, sheet);
    print_restore(out);
    print_without_bakfs(out, sheet);
    fputs("\n============================================================================\n\n",
          out);
}
