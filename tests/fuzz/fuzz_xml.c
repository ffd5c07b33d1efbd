// S3's answers are whatever a server, or somebody in between, sends.
#include "backend/s3/xml.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct xml_list list;
    struct xml_uploads uploads;
    struct xml_result result;
    struct xml_error error;
    char id[XML_ID_BYTES];
    if (xml_parse_list(text, size, &list, NULL) == 0) {
        for (size_t i = 1; i < list.count; i++) // in order, and none without a key
            if (!list.entries[i - 1].key || !list.entries[i].key)
                abort();
        xml_list_done(&list);
    }
    if (xml_parse_uploads(text, size, size & 1, &uploads, NULL) == 0)
        xml_uploads_done(&uploads);
    struct xml_versions versions;
    if (xml_parse_versions(text, size, &versions, NULL) == 0) {
        for (size_t i = 0; i < versions.count; i++)
            if (!versions.versions[i].key || !versions.versions[i].id)
                abort();
        xml_versions_done(&versions);
    }
    (void)!xml_parse_result(text, size, &result, NULL);
    (void)!xml_parse_error(text, size, &error, NULL);
    struct xml_parts parts;
    unsigned days;
    char word[XML_WORD_BYTES];
    if (xml_parse_parts(text, size, &parts, NULL) == 0 && parts.newest.tv_sec < 0)
        abort();
    (void)!xml_parse_abort_days(text, size, "p/", &days, NULL);
    (void)!xml_parse_word(text, size, "VersioningConfiguration", "Status", word, NULL);
    (void)!xml_parse_begun(text, size, id, NULL);
    return 0;
}
