/* A real model that can be damaged: its numbers, its pointers, the entries of its tables. What kws_init takes of it
 * must run without touching a byte outside the memory it asked for; of the model only the lengths of arrays, the sums
 * of a bias and the kind of a struct are taken on trust, so every array goes on with zeros as far as any index can
 * reach.
 *
 * targets.h, made from model.c, says where the numbers and arrays are. */
#ifndef DAMAGE_H
#define DAMAGE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kws_model.h"

#define kws_model damaged_model
#define const
#include "model.c"
#undef const

typedef struct {
    void *place;
    size_t bytes; /* 1, 2 or 4 */
    int is_kind;  /* an operator's: another known one would change its struct's type */
} number_t;

typedef struct {
    const void **pointer;
    const void *values;
    size_t bytes;
    size_t width; /* of a value, 0: the values stay */
    int is_index; /* they lead into other memory */
} array_t;

#include "targets.h" /* number_t numbers[]; array_t arrays[]; */

#define NUMBERS (sizeof numbers / sizeof numbers[0])
#define ARRAYS (sizeof arrays / sizeof arrays[0])
#define ROOM ((size_t)1 << 28) /* of an array: not filled until read */
#define MOST_SAMPLES 4000u

static int32_t kept[NUMBERS];
static uint8_t *places[ARRAYS];

static int32_t load(const number_t *number)
{
    int32_t value = 0;
    memcpy(&value, number->place, number->bytes);
    return value;
}

static void store_any(const number_t *number, int32_t value)
{
    memcpy(number->place, &value, number->bytes);
}

static void store(const number_t *number, int32_t value)
{
    if (!number->is_kind || value < 0 || value > KWS_OP_AVERAGE_POOL2D) {
        store_any(number, value);
    }
}

static void set_up(void)
{
    size_t i;
    for (i = 0; i < NUMBERS; ++i) {
        kept[i] = load(&numbers[i]);
    }
    for (i = 0; i < ARRAYS; ++i) {
        places[i] = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (places[i] == MAP_FAILED) {
            abort();
        }
    }
}

static void restore(void)
{
    size_t i;
    for (i = 0; i < NUMBERS; ++i) {
        store_any(&numbers[i], kept[i]);
    }
    for (i = 0; i < ARRAYS; ++i) {
        memcpy(places[i], arrays[i].values, arrays[i].bytes);
        *arrays[i].pointer = places[i];
    }
}

/* The damaged model, in `bytes` of memory, on `count` samples of noise. */
static void listen(size_t bytes, size_t count)
{
    static int16_t samples[MOST_SAMPLES];
    void *memory = malloc(bytes);
    kws_detection_t found[2];
    kws_t *kws;
    uint32_t random = 1;
    size_t i;
    int32_t phrase;
    for (i = 0; i < count; ++i) {
        random = random * 1664525u + 1013904223u;
        samples[i] = (int16_t)(uint16_t)(random >> 16);
    }
    if (kws_init(&kws, &damaged_model, memory, bytes) != KWS_OK || kws_feed(kws, samples, count, found, 2) < 0) {
        abort(); /* kws_memory_bytes had taken the model */
    }
    for (phrase = 0; phrase < damaged_model.detector->phrases; ++phrase) {
        if (kws_score(kws, phrase) < 0 || kws_score(kws, phrase) > KWS_SCORE_ONE) {
            abort();
        }
    }
    free(memory);
}

typedef enum { REFUSED, RAN, TOO_LARGE } outcome_t;

/* Is the damaged model refused by every call, or does it run? One that wants more than `most_bytes` is left alone. */
static outcome_t try_model(size_t most_bytes, size_t count)
{
    const size_t bytes = kws_memory_bytes(&damaged_model);
    if (bytes == 0) {
        kws_t *kws;
        uint64_t memory[32];
        if (kws_init(&kws, &damaged_model, memory, sizeof memory) != KWS_ERROR_MODEL || kws != NULL) {
            abort();
        }
        return REFUSED;
    }
    if (bytes > most_bytes) {
        return TOO_LARGE;
    }
    listen(bytes, count);
    return RAN;
}

#endif
