/* Fuzzes what stands for a loader in C: kws_init, which is to refuse a model whose parts do not fit together. Several
 * numbers, pointers and entries of a real model are damaged at once (damage.h). */
#include "damage.h"

#define LARGEST_MEMORY ((size_t)1 << 15)

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at;
    if (places[0] == NULL) {
        set_up();
    }
    restore();
    for (at = 0; at + 6 <= size && at < 8 * 6; at += 6) {
        damage(data + at);
    }
    (void)try_model(LARGEST_MEMORY, MOST_SAMPLES);
    return 0;
}
