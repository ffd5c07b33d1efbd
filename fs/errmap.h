// The one table of errnos the kernel may see. Pure.
#pragma once

// From -errno of the rooms below to the errno of a FUSE reply. What callers may not see, or would misread (EAGAIN: "try
// again"; EBADMSG and EUCLEAN: names nobody knows), becomes EIO.
int errmap(int negative_code);
