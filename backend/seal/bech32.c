#include "backend/seal/bech32.h"

#include <string.h>

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t polymod_step(uint32_t sum, uint32_t value)
{
    static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                         0x2a1462b3};
    uint32_t top = sum >> 25;
    sum = (sum & 0x1ffffff) << 5 ^ value;
    for (unsigned i = 0; i < 5; i++)
        if (top >> i & 1)
            sum ^= generator[i];
    return sum;
}

static uint32_t polymod_prefix(const char *prefix)
{
    uint32_t sum = 1;
    for (const char *p = prefix; *p; p++)
        sum = polymod_step(sum, (uint32_t)(unsigned char)*p >> 5);
    sum = polymod_step(sum, 0);
    for (const char *p = prefix; *p; p++)
        sum = polymod_step(sum, (uint32_t)(unsigned char)*p & 31);
    return sum;
}

void bech32_encode(const char *prefix, const uint8_t *bytes, size_t len, char *out)
{
    uint32_t sum = polymod_prefix(prefix), bits = 0;
    unsigned have = 0;
    size_t prefix_len = strlen(prefix);
    memcpy(out, prefix, prefix_len);
    out += prefix_len;
    *out++ = '1';
    for (size_t i = 0; i < len || have > 0;) {
        if (have < 5 && i < len) {
            bits = bits << 8 | bytes[i++];
            have += 8;
        } else if (have < 5) { // the last one is filled with zeros
            bits <<= 5 - have;
            have = 5;
        }
        for (; have >= 5; have -= 5) {
            uint32_t value = bits >> (have - 5) & 31;
            sum = polymod_step(sum, value);
            *out++ = charset[value];
        }
    }
    for (unsigned i = 0; i < 6; i++)
        sum = polymod_step(sum, 0);
    sum ^= 1;
    for (unsigned i = 0; i < 6; i++)
        *out++ = charset[sum >> (5 * (5 - i)) & 31];
    *out = '\0';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool one_case(const char *text)
{
    bool lowers = false, uppers = false;
    for (; *text; text++) {
        lowers |= *text >= 'a' && *text <= 'z';
        uppers |= *text >= 'A' && *text <= 'Z';
    }
    return !(lowers && uppers);
}

bool bech32_decode(const char *text, const char *prefix, uint8_t *out, size_t len)
{
    size_t prefix_len = strlen(prefix);
    if (strlen(text) != BECH32_CHARS(prefix_len, len) || !one_case(text))
        return false;
    for (size_t i = 0; i < prefix_len; i++)
        if (lower(text[i]) != prefix[i])
            return false;
    text += prefix_len;
    if (*text++ != '1')
        return false;
    uint32_t sum = polymod_prefix(prefix), bits = 0;
    unsigned have = 0;
    size_t made = 0;
    for (size_t i = 0, data = strlen(text) - 6; text[i]; i++) {
        const char *found = strchr(charset, lower(text[i]));
        if (!found)
            return false;
        uint32_t value = (uint32_t)(found - charset);
        sum = polymod_step(sum, value);
        if (i >= data)
            continue; // the checksum itself
        bits = bits << 5 | value;
        have += 5;
        if (have >= 8) {
            have -= 8;
            out[made++] = (uint8_t)(bits >> have);
        }
    }
    return sum == 1 && made == len && (bits & ((1u << have) - 1)) == 0;
}
