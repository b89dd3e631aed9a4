/* Listens to raw audio: 16 kHz, mono, signed 16-bit little-endian samples, from a file or standard input.
 *
 *     ./example [--steps] [--threshold Q15] [FILE]
 *     arecord -q -t raw -f S16_LE -r 16000 -c 1 | ./example
 *
 * Prints a line per detection, and with --steps also one per step of the model; --threshold is for every phrase. On a
 * microcontroller only the reading and the printing change: the calls from kws_init to kws_feed are the same. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws_model.h"

#define CHUNK 160 /* 10 ms */

/* all the memory that a detector needs, aligned to 8 bytes */
static uint64_t memory[(KWS_MODEL_MEMORY_BYTES + 7) / 8];

static size_t read_samples(FILE *file, int16_t *samples)
{
    uint8_t bytes[2 * CHUNK];
    const size_t count = fread(bytes, 2, CHUNK, file);
    size_t i;
    for (i = 0; i < count; ++i) {
        const int32_t value = bytes[2 * i] | bytes[2 * i + 1] << 8;
        samples[i] = (int16_t)(value < 32768 ? value : value - 65536);
    }
    return count;
}

static void print_step(const kws_t *kws)
{
    int32_t i;
    printf("step %" PRIu32 " score", kws_steps(kws) - 1u);
    for (i = 0; i < KWS_MODEL_PHRASES; ++i) {
        printf(" %" PRId32, kws_score(kws, i));
    }
    printf(" logits");
    for (i = 0; i < kws_model.graph->outputs; ++i) {
        printf(" %d", kws_logits(kws)[i]);
    }
    printf("\n");
}

static void print_detection(const kws_detection_t *detection)
{
    const uint64_t milliseconds = detection->sample / 16u;
    /* newlib, a device's C library, has no PRIu64 in C99 */
    printf("%lu.%03u s  %s  score %" PRId32 "/32768  sample %llu\n", (unsigned long)(milliseconds / 1000u),
           (unsigned)(milliseconds % 1000u), kws_model.phrases[detection->phrase], detection->score,
           (unsigned long long)detection->sample);
    fflush(stdout);
}

static int listen(kws_t *kws, FILE *file, int steps)
{
    int16_t samples[CHUNK];
    size_t count;
    while ((count = read_samples(file, samples)) > 0) {
        const uint32_t before = kws_steps(kws);
        kws_detection_t detections[KWS_MODEL_PHRASES]; /* in 10 ms there is at most one step, so one for each phrase */
        const int32_t made = kws_feed(kws, samples, count, detections, KWS_MODEL_PHRASES);
        int32_t i;
        if (steps && kws_steps(kws) != before) {
            print_step(kws);
        }
        for (i = 0; i < made; ++i) {
            print_detection(&detections[i]);
        }
    }
    return ferror(file) ? 1 : 0;
}

int main(int argc, char **argv)
{
    FILE *file = stdin;
    kws_t *kws;
    int steps = 0;
    int i;
    const int32_t error = kws_init(&kws, &kws_model, memory, sizeof memory);
    if (error != KWS_OK) {
        fprintf(stderr, "kws_init failed with error %" PRId32 "; export the model again\n", error);
        return 1;
    }
    for (i = 1; i < argc; ++i) {
        if (strcmp(argv[i], "--steps") == 0) {
            steps = 1;
        } else if (strcmp(argv[i], "--threshold") == 0 && i + 1 < argc) {
            if (kws_set_threshold(kws, KWS_EVERY_PHRASE, (int32_t)strtol(argv[++i], NULL, 10)) != KWS_OK) {
                fprintf(stderr, "--threshold must be 1 to 32768, or 32769 to never fire\n");
                return 2;
            }
        } else if (argv[i][0] == '-' || file != stdin) {
            fprintf(stderr, "usage: %s [--steps] [--threshold Q15] [FILE of raw 16 kHz mono int16 samples]\n", argv[0]);
            return 2;
        } else if ((file = fopen(argv[i], "rb")) == NULL) {
            fprintf(stderr, "%s: cannot be opened\n", argv[i]);
            return 2;
        }
    }
    if (listen(kws, file, steps) != 0) {
        fprintf(stderr, "the audio could not be read\n");
        return 2;
    }
    return 0;
}
