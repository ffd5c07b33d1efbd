// Inside the room of libpq: how a server is named to it.
#pragma once

#include "tools/pg/pg.h"

struct pg_params { // for PQconnectdbParams; the values are borrowed from the server
    const char *keywords[12], *values[12];
    int expand; // the first "dbname" is a conninfo
};
int pg_params(const struct pg_server *, const char *application_name, struct pg_params *out,
              struct err *err);
void pg_one_line(const char *text, char *out, size_t room);
bool pg_in_transaction(const struct pg *); // a failed one too
