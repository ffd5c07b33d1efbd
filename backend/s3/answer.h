// What an answer that is no success means: errno and sentence. Pure.
#pragma once

#include "backend/base/err.h"
#include "backend/s3/client.h"

// Sets err for a call whose last answer stands (call->response.failure is HTTP_ANSWERED).
int answer_error(const struct s3_call *, struct err *err);
