#ifndef KWS_SELFTEST_H
#define KWS_SELFTEST_H

/* Does this build compute, on this machine, what the model's evaluation computed? Golden audio goes in, in chunks of
 * many sizes and through two detectors side by side; every logit, score and detection must equal the golden one.
 *
 *     static uint64_t memory[KWS_SELFTEST_MEMORY_BYTES / 8];
 *     kws_selftest_result_t result;
 *     if (kws_selftest(memory, sizeof memory, &result) != 0) ...   // result.what says what differs
 *
 * Needs what the detector needs, and flash for three seconds of audio: 100 KB or a little more, gone again as soon as
 * nothing calls it (link with --gc-sections, or as a library). Copied samples and steps together it does the work of
 * about twenty seconds of audio. */

#include "kws_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two detectors, each aligned to 8 bytes. */
#define KWS_SELFTEST_MEMORY_BYTES (2 * ((KWS_MODEL_MEMORY_BYTES + 7) / 8 * 8))

typedef struct {
    const char *what; /* differs, or went wrong; null where all is equal */
    uint32_t where;   /* a step, sample or index, by `what` */
    int32_t got;
    int32_t expected;
    uint32_t steps; /* of the golden audio: as many are compared in every run */
    uint32_t detections;
} kws_selftest_result_t;

/* 0: every number is equal. 1: one is not, and `result` says which (it may be null). `memory` is aligned to 8 bytes;
 * what it holds before does not matter. */
int32_t kws_selftest(void *memory, size_t bytes, kws_selftest_result_t *result);

#ifdef __cplusplus
}
#endif

#endif
