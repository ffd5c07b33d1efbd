// The part of the suite that is about versions, for stores that are set up to keep them too. As store_suite_run.
#pragma once

#include "backend/store/store.h"

// `pages`: a listing of more than a page too, which takes a server seconds.
int store_suite_versions_run(const char *name, struct store *store, bool pages);
