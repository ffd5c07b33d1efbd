// The one suite for all stores: every function of store.h. `store` is empty at the start and at the end.
// Returns the number of failed tests.
#pragma once

#include "backend/store/store.h"

int store_suite_run(const char *name, struct store *store);
