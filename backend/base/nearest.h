// How far two words are apart: for "did you mean". Pure.
#pragma once

#include <stddef.h>
#include <string.h>

#define WORD_FAR 32u // also of words that are too long to be compared

// How many letters to add, drop or change (Levenshtein).
static inline unsigned word_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    if (la > WORD_FAR || lb > WORD_FAR)
        return WORD_FAR;
    unsigned row[WORD_FAR + 1];
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            unsigned shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < shift ? change : shift;
        }
    }
    return row[lb];
}
