/* Does this build compute what the model's evaluation computed? Golden audio in, and every logit, score and detection
 * must equal the expected one. Exit status 0: all equal. Run it on the device, too. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "model.h"

#define WORDS ((KWS_MODEL_MEMORY_BYTES + 7) / 8)

static uint64_t memory_a[WORDS];
static uint64_t memory_b[WORDS];
static kws_detection_t detections[GOLDEN_DETECTIONS + 1];

static int fail(const char *what, uint32_t where, int32_t got, int32_t expected)
{
    printf("FAIL %s at %" PRIu32 ": got %" PRId32 ", expected %" PRId32 "\n", what, where, got, expected);
    return 1;
}

/* The step that was just made, against the golden one. */
static int check_step(const kws_t *kws)
{
    const uint32_t step = kws_steps(kws) - 1u;
    int32_t i;
    if (step >= GOLDEN_STEPS) {
        return fail("steps", step, (int32_t)step, GOLDEN_STEPS);
    }
    for (i = 0; i < GOLDEN_LABELS; ++i) {
        const int8_t expected = golden_logits[step * GOLDEN_LABELS + (uint32_t)i];
        if (kws_logits(kws)[i] != expected) {
            return fail("logit of step", step, kws_logits(kws)[i], expected);
        }
    }
    for (i = 0; i < GOLDEN_PHRASES; ++i) {
        const uint16_t expected = golden_scores[step * GOLDEN_PHRASES + (uint32_t)i];
        if (kws_score(kws, i) != expected) {
            return fail("score of step", step, kws_score(kws, i), expected);
        }
    }
    return 0;
}

static int check_detection(const kws_detection_t *detection, int32_t index)
{
    const golden_detection_t *expected;
    if (index >= GOLDEN_DETECTIONS) {
        return fail("detections", detection->step, index + 1, GOLDEN_DETECTIONS);
    }
    expected = &golden_detections[index];
    if (detection->step != expected->step || detection->sample != expected->sample) {
        return fail("detection's step", (uint32_t)index, (int32_t)detection->step, (int32_t)expected->step);
    }
    if (detection->phrase != expected->phrase) {
        return fail("detection's phrase", (uint32_t)index, detection->phrase, expected->phrase);
    }
    return detection->score == expected->score ? 0 : fail("detection's score", (uint32_t)index, detection->score,
                                                          expected->score);
}

/* Feeds golden samples from `at` on, `count` at most; checks what comes. Returns how many were fed, or -1. */
static int32_t feed(kws_t *kws, uint32_t at, uint32_t count, int32_t *detected)
{
    const uint32_t before = kws_steps(kws);
    int32_t made;
    int32_t i;
    count = count < GOLDEN_SAMPLES - at ? count : GOLDEN_SAMPLES - at;
    made = kws_feed(kws, golden_samples + at, count, detections, GOLDEN_DETECTIONS + 1);
    if (made < 0) {
        fail("kws_feed", at, made, 0);
        return -1;
    }
    for (i = 0; i < made; ++i) {
        if (check_detection(&detections[i], *detected + i) != 0) {
            return -1;
        }
    }
    *detected += made;
    if (kws_steps(kws) != before && check_step(kws) != 0) {
        return -1;
    }
    return (int32_t)count;
}

static int check_end(const kws_t *kws, int32_t detected)
{
    if (kws_steps(kws) != GOLDEN_STEPS) {
        return fail("steps", 0, (int32_t)kws_steps(kws), GOLDEN_STEPS);
    }
    return detected == GOLDEN_DETECTIONS ? 0 : fail("detections", 0, detected, GOLDEN_DETECTIONS);
}

/* Chunks from 0 to `largest` samples. */
static int run_chunks(kws_t *kws, uint32_t largest)
{
    uint32_t at = 0;
    uint32_t random = 12345u + largest;
    int32_t detected = 0;
    kws_reset(kws);
    while (at < GOLDEN_SAMPLES) {
        int32_t fed;
        random = random * 1664525u + 1013904223u;
        fed = feed(kws, at, (random >> 16) % (largest + 1u), &detected);
        if (fed < 0) {
            return 1;
        }
        at += (uint32_t)fed;
    }
    return check_end(kws, detected);
}

/* Two detectors, one 1 second behind the other, their calls interleaved. */
static int run_side_by_side(kws_t *a, kws_t *b)
{
    uint32_t at;
    int32_t detected_a = 0;
    int32_t detected_b = 0;
    kws_reset(a);
    kws_reset(b);
    for (at = 0; at < GOLDEN_SAMPLES + 16000u; at += 160u) {
        if (at < GOLDEN_SAMPLES && feed(a, at, 160u, &detected_a) < 0) {
            return 1;
        }
        if (at >= 16000u && feed(b, at - 16000u, 160u, &detected_b) < 0) {
            return 1;
        }
    }
    return check_end(a, detected_a) != 0 || check_end(b, detected_b) != 0;
}

int main(void)
{
    static const uint32_t largest[] = {160u, 1u, 997u, 4096u, GOLDEN_SAMPLES};
    kws_t *a;
    kws_t *b;
    size_t i;
    if (kws_memory_bytes(&kws_model) != KWS_MODEL_MEMORY_BYTES) {
        return fail("memory", 0, (int32_t)kws_memory_bytes(&kws_model), KWS_MODEL_MEMORY_BYTES);
    }
    memset(memory_a, 0xa5, sizeof memory_a); /* what lies in the memory before must not matter */
    memset(memory_b, 0x5a, sizeof memory_b);
    if (kws_init(&a, &kws_model, memory_a, sizeof memory_a) != KWS_OK ||
        kws_init(&b, &kws_model, memory_b, sizeof memory_b) != KWS_OK) {
        return fail("kws_init", 0, -1, 0);
    }
    for (i = 0; i < GOLDEN_PHRASES; ++i) {
        if (kws_set_threshold(a, (int32_t)i, golden_thresholds[i]) != KWS_OK ||
            kws_set_threshold(b, (int32_t)i, golden_thresholds[i]) != KWS_OK) {
            return fail("kws_set_threshold", (uint32_t)i, -1, 0);
        }
    }
    for (i = 0; i < sizeof largest / sizeof largest[0]; ++i) {
        if (run_chunks(a, largest[i]) != 0) {
            return 1;
        }
    }
    if (run_side_by_side(a, b) != 0) {
        return 1;
    }
    printf("PASS %s%s: %d steps and %d detections equal the evaluated ones\n", kws_model.phrases[0],
           GOLDEN_PHRASES > 1 ? " and others" : "", GOLDEN_STEPS, GOLDEN_DETECTIONS);
    return 0;
}
