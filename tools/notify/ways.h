// The ways a notice goes. Each takes at most NOTIFY_TIMEOUT_S and fails with one sentence that holds no secret: of an
// address only the host is named, what stands behind it may be its password. Any thread.
#pragma once

#include "conf/conf.h"
#include "tools/notify/message.h"

#define NOTIFY_TIMEOUT_S 30

int way_mail(const struct conf *, const struct message *, struct err *err);
int way_webhook(const struct conf *, const struct message *, struct err *err);
int way_heartbeat(const struct conf *, const struct message *, struct err *err);
int way_command(const struct conf *, const struct message *, struct err *err);
