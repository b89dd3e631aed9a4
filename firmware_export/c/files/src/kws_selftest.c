#include "kws_selftest.h"

#include <string.h>

#include "kws_golden.h"

#define SECOND 16000u
#define HOP 160u

/* How many detections of one call are compared: those of one step, and a few more for calls of many steps. */
#define CAPACITY (KWS_MODEL_PHRASES + 3)

typedef struct {
    kws_t *kws;
    uint32_t at;      /* samples fed */
    int32_t detected; /* detections seen */
} run_t;

static int fail(kws_selftest_result_t *result, const char *what, uint32_t where, int32_t got, int32_t expected)
{
    result->what = what;
    result->where = where;
    result->got = got;
    result->expected = expected;
    return 1;
}

/* Compares the latest step with the golden one. */
static int check_step(const kws_t *kws, kws_selftest_result_t *result)
{
    const uint32_t step = kws_steps(kws) - 1u;
    uint32_t i;
    if (step >= KWS_GOLDEN_STEPS) {
        return fail(result, "steps", step, (int32_t)step, (int32_t)KWS_GOLDEN_STEPS);
    }
    for (i = 0; i < KWS_GOLDEN_LABELS; ++i) {
        const int8_t expected = kws_golden_logits[step * KWS_GOLDEN_LABELS + i];
        if (kws_logits(kws)[i] != expected) {
            return fail(result, "logit of step", step, kws_logits(kws)[i], expected);
        }
    }
    for (i = 0; i < KWS_GOLDEN_PHRASES; ++i) {
        const uint16_t expected = kws_golden_scores[step * KWS_GOLDEN_PHRASES + i];
        if (kws_score(kws, (int32_t)i) != expected) {
            return fail(result, "score of step", step, kws_score(kws, (int32_t)i), expected);
        }
    }
    return 0;
}

static int check_detection(const kws_detection_t *detection, int32_t index, kws_selftest_result_t *result)
{
    const kws_golden_detection_t *expected = &kws_golden_detections[index];
    const uint32_t where = (uint32_t)index;
    if (detection->step != expected->step || detection->sample != expected->sample) {
        return fail(result, "step of detection", where, (int32_t)detection->step, (int32_t)expected->step);
    }
    if (detection->phrase != expected->phrase) {
        return fail(result, "phrase of detection", where, detection->phrase, expected->phrase);
    }
    if (detection->score != expected->score) {
        return fail(result, "score of detection", where, detection->score, expected->score);
    }
    return 0;
}

/* Feeds at most `count` golden samples and checks the results. */
static int feed(run_t *run, uint32_t count, kws_selftest_result_t *result)
{
    kws_detection_t detections[CAPACITY];
    const uint32_t before = kws_steps(run->kws);
    const uint32_t left = KWS_GOLDEN_SAMPLES - run->at;
    const uint32_t taken = count < left ? count : left;
    const int32_t made = kws_feed(run->kws, kws_golden_samples + run->at, taken, detections, CAPACITY);
    int32_t i;
    if (made < 0 || made > (int32_t)KWS_GOLDEN_DETECTIONS - run->detected) {
        return fail(result, "detections", run->at, run->detected + made, (int32_t)KWS_GOLDEN_DETECTIONS);
    }
    for (i = 0; i < made && i < CAPACITY; ++i) {
        if (check_detection(&detections[i], run->detected + i, result) != 0) {
            return 1;
        }
    }
    run->detected += made;
    run->at += taken;
    return kws_steps(run->kws) != before ? check_step(run->kws, result) : 0;
}

static int check_end(const run_t *run, kws_selftest_result_t *result)
{
    const uint32_t steps = kws_steps(run->kws);
    if (steps != KWS_GOLDEN_STEPS) {
        return fail(result, "steps at the end", steps, (int32_t)steps, (int32_t)KWS_GOLDEN_STEPS);
    }
    if (run->detected != (int32_t)KWS_GOLDEN_DETECTIONS) {
        return fail(result, "detections at the end", steps, run->detected, (int32_t)KWS_GOLDEN_DETECTIONS);
    }
    return 0;
}

static void start(run_t *run)
{
    kws_reset(run->kws);
    run->at = 0;
    run->detected = 0;
}

/* Chunks from 0 to `largest` samples. */
static int run_chunks(run_t *run, uint32_t largest, kws_selftest_result_t *result)
{
    uint32_t random = 12345u + largest;
    start(run);
    while (run->at < KWS_GOLDEN_SAMPLES) {
        random = random * 1664525u + 1013904223u;
        if (feed(run, (random >> 16) % (largest + 1u), result) != 0) {
            return 1;
        }
    }
    return check_end(run, result);
}

/* Two detectors, one a second behind the other, their calls interleaved. */
static int run_side_by_side(run_t *first, run_t *second, kws_selftest_result_t *result)
{
    uint32_t at;
    start(first);
    start(second);
    for (at = 0; at < KWS_GOLDEN_SAMPLES + SECOND; at += HOP) {
        if (feed(first, HOP, result) != 0 || (at >= SECOND && feed(second, HOP, result) != 0)) {
            return 1;
        }
    }
    return check_end(first, result) != 0 || check_end(second, result) != 0;
}

/* Are model.c and kws_golden.h from one export, and does the model take the memory that kws_model.h says? */
static int check_model(kws_selftest_result_t *result)
{
    static const char golden_hash[] = KWS_GOLDEN_MODEL_HASH;
    const size_t bytes = kws_memory_bytes(&kws_model);
    uint32_t i;
    for (i = 0; i < sizeof golden_hash; ++i) {
        if (kws_model.model_hash[i] != golden_hash[i]) {
            return fail(result, "model_hash of model.c", i, kws_model.model_hash[i], golden_hash[i]);
        }
    }
    if (bytes != KWS_MODEL_MEMORY_BYTES) {
        return fail(result, "kws_memory_bytes", 0, (int32_t)bytes, KWS_MODEL_MEMORY_BYTES);
    }
    return 0;
}

static int set_up(run_t *run, void *memory, kws_selftest_result_t *result)
{
    const int32_t error = kws_init(&run->kws, &kws_model, memory, KWS_SELFTEST_MEMORY_BYTES / 2);
    uint32_t i;
    if (error != KWS_OK) {
        return fail(result, "kws_init", 0, error, KWS_OK);
    }
    for (i = 0; i < KWS_GOLDEN_PHRASES; ++i) {
        if (kws_set_threshold(run->kws, (int32_t)i, kws_golden_thresholds[i]) != KWS_OK) {
            return fail(result, "kws_set_threshold", i, KWS_ERROR_ARGUMENT, KWS_OK);
        }
    }
    return 0;
}

static int run_all(uint8_t *memory, kws_selftest_result_t *result)
{
    static const uint32_t largest[] = {HOP, 1u, 997u, 4096u, KWS_GOLDEN_SAMPLES};
    const size_t half = KWS_SELFTEST_MEMORY_BYTES / 2;
    run_t first;
    run_t second;
    size_t i;
    memset(memory, 0xa5, half); /* what the memory held before must not matter */
    memset(memory + half, 0x5a, half);
    if (check_model(result) != 0 || set_up(&first, memory, result) != 0 ||
        set_up(&second, memory + half, result) != 0) {
        return 1;
    }
    for (i = 0; i < sizeof largest / sizeof largest[0]; ++i) {
        if (run_chunks(&first, largest[i], result) != 0) {
            return 1;
        }
    }
    return run_side_by_side(&first, &second, result);
}

int32_t kws_selftest(void *memory, size_t bytes, kws_selftest_result_t *result)
{
    kws_selftest_result_t unused;
    kws_selftest_result_t *output = result != NULL ? result : &unused;
    output->what = NULL;
    output->where = 0;
    output->got = 0;
    output->expected = 0;
    output->steps = KWS_GOLDEN_STEPS;
    output->detections = KWS_GOLDEN_DETECTIONS;
    if (memory == NULL || bytes < KWS_SELFTEST_MEMORY_BYTES) {
        return fail(output, "memory", 0, (int32_t)bytes, KWS_SELFTEST_MEMORY_BYTES);
    }
    return run_all((uint8_t *)memory, output);
}
