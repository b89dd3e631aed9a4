/* Fuzzes kws_feed: any samples in any chunks. Whatever the input, no byte outside the given memory is touched, the
 * results are in their ranges, and a second detector that gets the same samples hop by hop ends up the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kws_model.h"

#define LONGEST 24000u /* samples of one input */
#define MOST 512u      /* detections of it */
#define HOP 160u

#define REQUIRE(true_thing)  \
    do {                     \
        if (!(true_thing)) { \
            abort();         \
        }                    \
    } while (0)

static int16_t heard[LONGEST];

static kws_t *detector(void *memory, int32_t threshold)
{
    kws_t *kws;
    REQUIRE(kws_init(&kws, &kws_model, memory, KWS_MODEL_MEMORY_BYTES) == KWS_OK);
    REQUIRE(kws_set_threshold(kws, KWS_EVERY_PHRASE, threshold) == KWS_OK);
    return kws;
}

/* One more sample as the input says: silence, full scale, noise at a level, or its own bytes. */
static int16_t sample(uint8_t kind, uint8_t level, uint32_t *random, uint8_t byte)
{
    *random = *random * 1664525u + 1013904223u;
    switch (kind & 3u) {
    case 0:
        return level < 128 ? 0 : (int16_t)-1;
    case 1:
        return (*random >> (8 + level % 16u)) & 1u ? INT16_MAX : INT16_MIN;
    case 2:
        return (int16_t)((int32_t)(*random >> 16) - 32768) / (int16_t)(1 << level % 15u);
    default:
        return (int16_t)(uint16_t)(byte << 8 | level);
    }
}

/* Feeds a copy that has no sample to spare. */
static int32_t feed(kws_t *kws, const int16_t *samples, size_t count, kws_detection_t *found, size_t capacity)
{
    int16_t *copy = malloc(count ? count * sizeof *copy : 1);
    int32_t made;
    memcpy(copy, samples, count * sizeof *copy);
    made = kws_feed(kws, copy, count, found, capacity);
    free(copy);
    REQUIRE(made >= 0);
    return made;
}

static void check(const kws_t *kws)
{
    int32_t i;
    for (i = 0; i < KWS_MODEL_PHRASES; ++i) {
        REQUIRE(kws_score(kws, i) >= 0 && kws_score(kws, i) <= KWS_SCORE_ONE);
    }
}

static uint32_t feed_hops(kws_t *kws, size_t count, kws_detection_t *found)
{
    uint32_t made = 0;
    size_t at;
    for (at = 0; at < count; at += HOP) {
        const size_t taken = count - at < HOP ? count - at : HOP;
        made += (uint32_t)feed(kws, heard + at, taken, found + made, MOST - made);
        check(kws);
    }
    return made;
}

static void compare(const kws_t *a, const kws_t *b)
{
    int32_t i;
    REQUIRE(kws_steps(a) == kws_steps(b));
    REQUIRE(memcmp(kws_logits(a), kws_logits(b), (size_t)kws_model.graph->outputs) == 0);
    for (i = 0; i < KWS_MODEL_PHRASES; ++i) {
        REQUIRE(kws_score(a, i) == kws_score(b, i));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kws_detection_t found[MOST], again[MOST];
    void *memory[2] = {malloc(KWS_MODEL_MEMORY_BYTES), malloc(KWS_MODEL_MEMORY_BYTES)};
    const int32_t threshold = 1 + (size > 0 ? (int32_t)data[0] * 128 : 0);
    kws_t *a = detector(memory[0], threshold);
    kws_t *b = detector(memory[1], threshold);
    uint32_t random = 1;
    uint32_t made = 0;
    size_t total = 0;
    size_t at = 1;
    while (at + 3 <= size && total < LONGEST) {
        const uint8_t kind = data[at];
        const uint8_t level = data[at + 1];
        const size_t wanted = kind & 4u ? (size_t)data[at + 2] * 16u : data[at + 2];
        const size_t count = wanted < LONGEST - total ? wanted : LONGEST - total;
        size_t i;
        for (i = 0; i < count; ++i) {
            heard[total + i] = sample(kind, level, &random, data[at + i % (size - at)]);
        }
        made += (uint32_t)feed(a, heard + total, count, found + made, MOST - made);
        check(a);
        total += count;
        at += (kind & 3u) == 3u ? 3u + (count < size - at ? count : size - at) : 3u;
    }
    REQUIRE(feed_hops(b, total, again) == made && made <= MOST);
    for (at = 0; at < made; ++at) {
        REQUIRE(found[at].sample == again[at].sample && found[at].phrase == again[at].phrase);
        REQUIRE(found[at].step == again[at].step && found[at].score == again[at].score);
        REQUIRE(found[at].sample <= total && found[at].score >= threshold);
    }
    compare(a, b);
    free(memory[0]);
    free(memory[1]);
    return 0;
}
