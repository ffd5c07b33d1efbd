// The listing's part of the suite.
#pragma once

#include "backend/store/store.h"

int store_suite_list_run(const char *name, struct store *store);
