// How far two words are apart: for "did you mean". Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define WORD_FAR 32u // also of words that are too long to be compared

// How many letters to add, drop, change, or swap with their neighbour.
static inline unsigned word_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    if (la > WORD_FAR || lb > WORD_FAR)
        return WORD_FAR;
    unsigned rows[3][WORD_FAR + 1]; // of i - 2, i - 1 and i, by turns
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned least = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < least)
                least = above[j] + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && above2[j - 2] + 1 < least)
                least = above2[j - 2] + 1;
            row[j] = least;
        }
    }
    return rows[la % 3][lb];
}
