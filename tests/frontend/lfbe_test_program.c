/* Reads int16 samples, writes features: once by pushes of the chunk sizes given, once computed as a whole.
 * Memory is exactly as large as the frontend asks for, so that a sanitizer sees a byte too far. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws_lfbe.h"
#include "tables.h"

static void *copy_of(const void *bytes, size_t size)
{
    void *copy = malloc(size ? size : 1);
    if (size) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

static void write_features(const int16_t *features, size_t frames)
{
    fwrite(features, sizeof(int16_t), frames * tables.bands, stdout);
}

static void streamed(const int16_t *samples, size_t count, int sizes, char **size)
{
    void *memory = malloc(kws_lfbe_memory_bytes(&tables));
    size_t done = 0;
    int turn = 0;
    kws_lfbe_t lfbe;
    kws_lfbe_init(&lfbe, &tables, memory);
    while (done < count) {
        size_t wanted = (size_t)atoi(size[turn++ % sizes]), left = count - done;
        size_t chunk = wanted < left ? wanted : left;
        int16_t *piece = copy_of(samples + done, chunk * sizeof(int16_t));
        size_t frames = kws_lfbe_frames(&lfbe, chunk);
        int16_t *features = malloc(frames * tables.bands * sizeof(int16_t) + 1);
        if (kws_lfbe_push(&lfbe, piece, chunk, features) != frames) {
            exit(3);
        }
        write_features(features, frames);
        free(features);
        free(piece);
        done += chunk;
    }
    free(memory);
}

static void whole(const int16_t *samples, size_t count)
{
    size_t frames = count < tables.window_samples ? 0 : (count - tables.window_samples) / tables.hop_samples + 1;
    void *scratch = malloc(kws_lfbe_scratch_bytes(&tables));
    int16_t *features = malloc(frames * tables.bands * sizeof(int16_t) + 1);
    kws_lfbe_compute(&tables, samples, tables.hop_samples, frames, features, scratch);
    write_features(features, frames);
    free(features);
    free(scratch);
}

int main(int argc, char **argv)
{
    static int16_t buffer[1 << 20];
    size_t count = fread(buffer, sizeof(int16_t), sizeof buffer / sizeof *buffer, stdin);
    int16_t *samples = copy_of(buffer, count * sizeof(int16_t));
    streamed(samples, count, argc - 1, argv + 1);
    whole(samples, count);
    free(samples);
    return 0;
}
