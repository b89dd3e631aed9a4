/* The self-test with its result on standard output. Exit status 0: this build computes what the evaluation computed.
 * On a board, call kws_selftest in the same way and show its result there: a line on the console, an LED. */
#include <inttypes.h>
#include <stdio.h>

#include "kws_selftest.h"

static uint64_t memory[KWS_SELFTEST_MEMORY_BYTES / 8];

int main(void)
{
    kws_selftest_result_t result;
    if (kws_selftest(memory, sizeof memory, &result) != 0) {
        printf("FAIL %s at %" PRIu32 ": got %" PRId32 ", expected %" PRId32 "\n", result.what, result.where, result.got,
               result.expected);
        return 1;
    }
    printf("PASS %s%s: %" PRIu32 " steps and %" PRIu32 " detections equal the expected ones\n", kws_model.phrases[0],
           KWS_MODEL_PHRASES > 1 ? " and others" : "", result.steps, result.detections);
    return 0;
}
