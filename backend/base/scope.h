// Cleanup at the end of a scope, by __attribute__((cleanup)). Declare and initialise together.
#pragma once

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define auto_free __attribute__((cleanup(scope_free)))
#define auto_fd __attribute__((cleanup(scope_close)))

// Locks for the rest of the scope: auto_unlock pthread_mutex_t *held = scope_lock(&x->lock);
#define auto_unlock __attribute__((cleanup(scope_unlock), unused))

// Declares the cleanup of `struct NAME *` by NAME_free: SCOPE_TYPE(sink) makes `auto_sink`'s function.
#define SCOPE_TYPE(name)                                                                           \
    static inline void scope_##name##_free(struct name **p)                                        \
    {                                                                                              \
        name##_free(*p);                                                                           \
    }
#define auto_type(name) __attribute__((cleanup(scope_##name##_free)))

// Hands a pointer over: the variable becomes NULL, its cleanup does nothing.
#define take(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

static inline void scope_free(void *p)
{
    free(*(void **)p);
}

static inline void scope_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline pthread_mutex_t *scope_lock(pthread_mutex_t *mutex)
{
    pthread_mutex_lock(mutex);
    return mutex;
}

static inline void scope_unlock(pthread_mutex_t **mutex)
{
    if (*mutex)
        pthread_mutex_unlock(*mutex);
}
