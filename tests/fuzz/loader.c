/* Fuzzes what stands for a loader in C: kws_init, which is to refuse a model whose parts do not fit together. Numbers of
 * a real model are damaged, pointers lost, entries of its tables changed. What kws_init takes must then run without
 * touching a byte outside the memory it asked for; of the model only the lengths of arrays, the sums of a bias and the
 * kind of a struct are taken on trust, so every array goes on with zeros as far as any index can reach.
 *
 * targets.h, made from model.c, says where the numbers and arrays are. */
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
} array_t;

#include "targets.h" /* number_t numbers[]; array_t arrays[]; */

#define NUMBERS (sizeof numbers / sizeof numbers[0])
#define ARRAYS (sizeof arrays / sizeof arrays[0])
#define ROOM ((size_t)1 << 28)      /* of an array: not filled until read */
#define LARGEST_MEMORY ((size_t)1 << 15)
#define SAMPLES 4000u

static int32_t kept[NUMBERS];
static uint8_t *places[ARRAYS];

static int32_t load(const number_t *number)
{
    int32_t value = 0;
    memcpy(&value, number->place, number->bytes);
    return value;
}

static void store(const number_t *number, int32_t value)
{
    if (!number->is_kind || value < 0 || value > KWS_OP_AVERAGE_POOL2D) {
        memcpy(number->place, &value, number->bytes);
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
        memcpy(numbers[i].place, &kept[i], numbers[i].bytes);
    }
    for (i = 0; i < ARRAYS; ++i) {
        memcpy(places[i], arrays[i].values, arrays[i].bytes);
        *arrays[i].pointer = places[i];
    }
}

static int32_t damaged(int32_t value, uint8_t how, uint8_t much)
{
    static int32_t edges[] = {0, 1, -1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, INT32_MAX, INT32_MIN};
    switch (how % 6u) {
    case 0:
        return edges[much % (sizeof edges / sizeof edges[0])];
    case 1:
        return (int32_t)(int8_t)much;
    case 2:
        return (int32_t)((uint32_t)value + 1u + much % 16u);
    case 3:
        return (int32_t)((uint32_t)value - 1u - much % 16u);
    case 4:
        return (int32_t)((uint32_t)value ^ (1u << much % 32u));
    default:
        return (int32_t)((uint32_t)value * (2u + much % 3u));
    }
}

static void damage(const uint8_t *data)
{
    const size_t which = data[1] | (size_t)data[2] << 8;
    if (data[0] % 4u != 0) {
        const number_t *number = &numbers[which % NUMBERS];
        store(number, damaged(load(number), data[3], data[4]));
    } else if (data[0] % 16u == 0) {
        *arrays[which % ARRAYS].pointer = NULL;
    } else {
        const array_t *array = &arrays[which % ARRAYS];
        if (array->width != 0) {
            const size_t entry = (data[5] | (size_t)data[3] << 8) % (array->bytes / array->width);
            number_t number;
            number.place = places[which % ARRAYS] + entry * array->width;
            number.bytes = array->width;
            number.is_kind = 0;
            store(&number, damaged(load(&number), data[3], data[4]));
        }
    }
}

static void listen(size_t bytes)
{
    static int16_t samples[SAMPLES];
    void *memory = malloc(bytes);
    kws_detection_t found[2];
    kws_t *kws;
    uint32_t random = 1;
    size_t i;
    int32_t phrase;
    for (i = 0; i < SAMPLES; ++i) {
        random = random * 1664525u + 1013904223u;
        samples[i] = (int16_t)(uint16_t)(random >> 16);
    }
    if (kws_init(&kws, &damaged_model, memory, bytes) != KWS_OK || kws_feed(kws, samples, SAMPLES, found, 2) < 0) {
        abort(); /* kws_memory_bytes had taken the model */
    }
    for (phrase = 0; phrase < damaged_model.detector->phrases; ++phrase) {
        if (kws_score(kws, phrase) < 0 || kws_score(kws, phrase) > KWS_SCORE_ONE) {
            abort();
        }
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at;
    size_t bytes;
    if (places[0] == NULL) {
        set_up();
    }
    restore();
    for (at = 0; at + 6 <= size && at < 8 * 6; at += 6) {
        damage(data + at);
    }
    bytes = kws_memory_bytes(&damaged_model);
    if (bytes == 0) {
        kws_t *kws;
        uint64_t memory[32];
        if (kws_init(&kws, &damaged_model, memory, sizeof memory) != KWS_ERROR_MODEL || kws != NULL) {
            abort();
        }
    } else if (bytes <= LARGEST_MEMORY) {
        listen(bytes);
    }
    return 0;
}
