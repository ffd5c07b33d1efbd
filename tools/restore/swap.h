// `restore --replace`: the new database takes the old one's name. One thread.
#pragma once

#include "tools/restore/internal.h"

#include <time.h>

struct swap {             // borrowed
    const char *name;     // of both, one after the other
    const char *made;     // the new one's name until then
    const char *old_name; // the old one's name afterwards
};

// NAME_before_TIMESTAMP, cut to 63 bytes between characters.
int swap_old_name(const char *name, time_t now, char out[64], struct err *err);
// Gives the new one the owner, settings and grants of the old one, ends the old one's sessions, exchanges the names. A
// failure leaves the old one as it was, under its name and open to connections, or says what to type.
int swap_names(const struct pg_server *, const struct swap *, size_t *out_ended,
               struct comparison *notes, struct err *err);
