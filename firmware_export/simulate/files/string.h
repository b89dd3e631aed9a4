/* The functions of the C library that the runtime calls; they are in support.c. */
#ifndef KWS_SIMULATE_STRING_H
#define KWS_SIMULATE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict target, const void *restrict source, size_t bytes);
void *memmove(void *target, const void *source, size_t bytes);
void *memset(void *target, int value, size_t bytes);

#endif
