/* Every bit of every number of a real model is flipped, one at a time, and of every table of indices; every pointer is
 * lost once (damage.h). Says how often the model was refused, ran, and would have taken too much memory. */
#include <stdio.h>

#include "damage.h"

#define LARGEST_MEMORY ((size_t)1 << 20)

static uint32_t outcomes[3];
static size_t samples; /* two steps of the model as it was, and a little more */

static void count_outcome(void)
{
    ++outcomes[try_model(LARGEST_MEMORY, samples)];
}

static void flip(const number_t *number)
{
    const int32_t value = load(number);
    uint32_t bit;
    for (bit = 0; bit < 8u * number->bytes; ++bit) {
        store(number, (int32_t)((uint32_t)value ^ UINT32_C(1) << bit));
        count_outcome();
        store_any(number, value);
    }
}

static void flip_entries(size_t which)
{
    size_t at;
    for (at = 0; at < arrays[which].bytes; at += arrays[which].width) {
        number_t entry = {NULL, 0, 0};
        entry.place = places[which] + at;
        entry.bytes = arrays[which].width;
        flip(&entry);
    }
}

static void lose(size_t which)
{
    const uint32_t refused = outcomes[REFUSED];
    *arrays[which].pointer = NULL;
    count_outcome();
    if (outcomes[REFUSED] == refused) {
        abort();
    }
    *arrays[which].pointer = places[which];
}

int main(void)
{
    const kws_lfbe_tables_t *frontend = damaged_model.frontend;
    size_t i;
    samples = frontend->window_samples + 2u * (size_t)damaged_model.graph->stride * frontend->hop_samples;
    set_up();
    restore();
    if (samples > MOST_SAMPLES || try_model(LARGEST_MEMORY, samples) != RAN) {
        abort();
    }
    for (i = 0; i < NUMBERS; ++i) {
        flip(&numbers[i]);
    }
    for (i = 0; i < ARRAYS; ++i) {
        lose(i);
        if (arrays[i].is_index) {
            flip_entries(i);
        }
    }
    printf("%u refused, %u ran, %u too large\n", (unsigned)outcomes[REFUSED], (unsigned)outcomes[RAN],
           (unsigned)outcomes[TOO_LARGE]);
    return 0;
}
