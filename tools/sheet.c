#include "tools/sheet.h"

#include <string.h>

// In single quotes for a shell; what is in the configuration holds no control characters.
static void print_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            fputs("'\\''", out);
        else
            fputc(*p, out);
    }
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
            "1. Put the AGE-SECRET-KEY-1... line into a file key.txt and: chmod 600 key.txt\n",
            sheet->escrow, sheet->escrow_secret);
    } else if (sheet->escrow) {
        fprintf(out,
                "1. Get the secret key of %s\n"
                "   from where it is kept, into a file key.txt, and: chmod 600 key.txt\n",
                sheet->escrow);
    } else {
        fprintf(out,
                "NO ESCROW KEY: the only key that opens the backups is the file\n"
                "    %s\n"
                "on this host. When the host is gone, so are all backups: copy it elsewhere now.\n"
                "\n"
                "1. Get that file, as key.txt, and: chmod 600 key.txt\n",
                sheet->identity_path);
    }
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
    fputs("aws", out);
    if (*sheet->endpoint) {
        fputs(" --endpoint-url ", out);
        print_quoted(out, sheet->endpoint);
    }
    fprintf(out, " s3 %s ", verb);
}

static void print_s3(FILE *out, const struct sheet *sheet)
{
    fputs("2. apt-get install age zstd awscli, and the store's credentials:\n"
          "       export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...",
          out);
    if (*sheet->region)
        fprintf(out, " AWS_REGION=%s AWS_DEFAULT_REGION=%s", sheet->region, sheet->region);
    fputs("\n3. What there is:\n       ", out);
    print_aws(out, sheet, "ls --recursive");
    print_s3_place(out, sheet->url);
    fputs("\n4. One file, with standard tools (bash; never without pipefail):\n"
          "       set -o pipefail\n       ",
          out);
    print_aws(out, sheet, "cp");
    print_s3_place(out, sheet->url);
    fputs("HOST/DATE/FILE.zst.age - | age -d -i key.txt | zstd -d > FILE\n", out);
}

static void print_dir(FILE *out, const struct sheet *sheet)
{
    const char *dir = sheet->url + strlen("dir:");
    fputs("2. apt-get install age zstd, and the disk with the store at ", out);
    print_quoted(out, dir);
    fputs("\n3. What there is:\n       find ", out);
    print_quoted(out, dir);
    fputs(" -name '*.zst.age'\n"
          "4. One file, with standard tools (bash; never without pipefail):\n"
          "       set -o pipefail\n       cat ",
          out);
    print_quoted(out, dir);
    fputs("/HOST/DATE/FILE.zst.age | age -d -i key.txt | zstd -d > FILE\n", out);
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
    fputs("\n\n", out);
    print_key(out, sheet);
    if (strncmp(sheet->url, "s3://", 5) == 0)
        print_s3(out, sheet);
    else
        print_dir(out, sheet);
    fputs("   The exit status must be 0; otherwise FILE is cut and not to be used.\n"
          "5. Or all of them as a tree of files, with bakfs:\n"
          "       mkdir -p /mnt/bak && bakfs mount ",
          out);
    print_quoted(out, sheet->url);
    fputs(" /mnt/bak -o ro \\\n           -o seal.identity=$PWD/key.txt", out);
    if (*sheet->endpoint) {
        fputs(" -o store.endpoint=", out);
        print_quoted(out, sheet->endpoint);
    }
    if (*sheet->region)
        fprintf(out, " -o store.region=%s", sheet->region);
    fputs("\n\n============================================================================\n\n",
          out);
}
