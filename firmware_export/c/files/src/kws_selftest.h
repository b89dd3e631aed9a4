#ifndef KWS_SELFTEST_H
#define KWS_SELFTEST_H

/* Does this build compute, on this machine, what the model's evaluation computed? Golden audio goes in, in chunks of
 * many sizes and through two detectors side by side; every logit, score and detection must be the golden one.
 *
 *     static uint64_t memory[KWS_SELFTEST_MEMORY_BYTES / 8];
 *     kws_selftest_result_t result;
 *     if (kws_selftest(memory, sizeof memory, &result) != 0) ...   // result.what says what differs
 *
 * It takes twice the detector's RAM, and flash for three seconds of audio: 100 KB or a little more, which the linker
 * leaves out when nothing calls it (link with --gc-sections, or as a library). In all it runs the detector over about
 * twenty seconds of audio. */

#include "kws_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two detectors, each aligned to 8 bytes. */
#define KWS_SELFTEST_MEMORY_BYTES (2 * ((KWS_MODEL_MEMORY_BYTES + 7) / 8 * 8))

typedef struct {
    const char *what; /* the value that differs, or the call that failed; NULL when everything is equal */
    uint32_t where;   /* a step, sample or index, depending on `what` */
    int32_t got;
    int32_t expected;
    uint32_t steps; /* steps in the golden audio: every run compares all of them */
    uint32_t detections;
} kws_selftest_result_t;

/* Returns 0 when every number is equal, else 1, and `result` (which may be NULL) says which one differs. `memory` must
 * be aligned to 8 bytes; what it held before does not matter. */
int32_t kws_selftest(void *memory, size_t bytes, kws_selftest_result_t *result);

#ifdef __cplusplus
}
#endif

#endif
