#include "backend/s3/xml_walk.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <string.h>

void xml_walk_stop(struct xml_walk *walk, int code, const char *what)
{
    if (!walk->err.code)
        err_set(&walk->err, code, "%s", what);
    XML_StopParser(walk->parser, XML_FALSE);
}

static void on_open(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct xml_walk *walk = ctx;
    if (walk->err.code)
        return;
    const char *colon = strchr(name, ':');
    const char *local = colon ? colon + 1 : name;
    size_t len = strlen(local);
    if (walk->depth == XML_WALK_DEPTH || len >= XML_WALK_NAME_BYTES) {
        xml_walk_stop(walk, EUCLEAN, "the answer's XML is nested too deep");
        return;
    }
    walk->depth++;
    memcpy(walk->names[walk->depth], local, len + 1);
    walk->text_len = 0;
    if (walk->opened)
        walk->opened(walk, local);
}

static void on_text(void *ctx, const XML_Char *text, int len)
{
    struct xml_walk *walk = ctx;
    if (walk->err.code)
        return;
    if ((size_t)len >= XML_WALK_TEXT_BYTES - walk->text_len) {
        xml_walk_stop(walk, EUCLEAN, "an element of the answer's XML is too long");
        return;
    }
    memcpy(walk->text + walk->text_len, text, (size_t)len);
    walk->text_len += (size_t)len;
}

static void on_close(void *ctx, const XML_Char *name)
{
    (void)name;
    struct xml_walk *walk = ctx;
    if (walk->err.code)
        return;
    walk->text[walk->text_len] = '\0';
    const char *parent = walk->depth > 1 ? walk->names[walk->depth - 1] : "";
    walk->closed(walk, walk->names[walk->depth], parent);
    walk->depth--;
    walk->text_len = 0;
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_subset)
{
    (void)name, (void)sysid, (void)pubid, (void)has_subset;
    xml_walk_stop(ctx, EUCLEAN, "the answer's XML has a document type, which S3 never sends");
}

int xml_walk_run(struct xml_walk *walk, const char *text, size_t len, struct err *err)
{
    if (len > INT_MAX)
        return err_set(err, EUCLEAN, "the answer is too long");
    XML_Parser parser = XML_ParserCreate("UTF-8");
    if (!parser)
        return err_set(err, ENOMEM, "no memory for an XML parser");
    walk->parser = parser;
    XML_SetUserData(parser, walk);
    XML_SetElementHandler(parser, on_open, on_close);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    int result = 0;
    if (XML_Parse(parser, text, (int)len, 1) != XML_STATUS_OK && !walk->err.code)
        err_set(&walk->err, EUCLEAN, "the answer is not XML: %s",
                XML_ErrorString(XML_GetErrorCode(parser)));
    XML_ParserFree(parser);
    if (walk->err.code)
        result = err_copy(err, &walk->err);
    return result;
}
