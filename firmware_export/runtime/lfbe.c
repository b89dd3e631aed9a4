/* The frontend's stream: carries the samples that still belong to a window to come. See kws_lfbe.h. */
#include "kws_lfbe.h"

#include <string.h>

#include "kws_lfbe_frame.h"

/* Room for one window, and on a host for as many hops more as there are lanes. */
static size_t held_capacity(const kws_lfbe_tables_t *tables)
{
    return tables->window_samples + (size_t)(KWS_LFBE_LANES - 1) * tables->hop_samples;
}

static size_t held_bytes(const kws_lfbe_tables_t *tables)
{
    return (held_capacity(tables) * sizeof(int16_t) + 7u) & ~(size_t)7u;
}

static size_t count_frames(const kws_lfbe_tables_t *tables, size_t samples)
{
    return samples < tables->window_samples ? 0 : (samples - tables->window_samples) / tables->hop_samples + 1;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Move the last (held - drop) samples to the front, in pieces that do not overlap: memcpy may do it. */
static void drop_samples(kws_lfbe_t *lfbe, size_t drop)
{
    size_t at;
    for (at = drop; at < lfbe->held_samples; at += drop) {
        memcpy(lfbe->held + at - drop, lfbe->held + at, smaller(drop, lfbe->held_samples - at) * sizeof(int16_t));
    }
    lfbe->held_samples -= drop;
}

size_t kws_lfbe_memory_bytes(const kws_lfbe_tables_t *tables)
{
    return held_bytes(tables) + kws_lfbe_scratch_bytes(tables);
}

void kws_lfbe_init(kws_lfbe_t *lfbe, const kws_lfbe_tables_t *tables, void *memory)
{
    lfbe->tables = tables;
    lfbe->held = (int16_t *)memory;
    lfbe->scratch = (unsigned char *)memory + held_bytes(tables);
    lfbe->held_samples = 0;
}

void kws_lfbe_reset(kws_lfbe_t *lfbe)
{
    lfbe->held_samples = 0;
}

size_t kws_lfbe_frames(const kws_lfbe_t *lfbe, size_t samples)
{
    return count_frames(lfbe->tables, lfbe->held_samples + samples);
}

size_t kws_lfbe_push(kws_lfbe_t *lfbe, const int16_t *samples, size_t count, int16_t *features)
{
    const kws_lfbe_tables_t *tables = lfbe->tables;
    size_t done = 0;
    while (count > 0) {
        size_t taken = smaller(count, held_capacity(tables) - lfbe->held_samples);
        size_t frames;
        memcpy(lfbe->held + lfbe->held_samples, samples, taken * sizeof(int16_t));
        lfbe->held_samples += taken;
        samples += taken;
        count -= taken;
        frames = count_frames(tables, lfbe->held_samples);
        if (frames > 0) {
            kws_lfbe_lanes(tables, lfbe->held, tables->hop_samples, frames, features + done * tables->bands,
                           lfbe->scratch);
            done += frames;
            drop_samples(lfbe, frames * tables->hop_samples);
        }
    }
    return done;
}

size_t kws_lfbe_scratch_bytes(const kws_lfbe_tables_t *tables)
{
    return kws_lfbe_lanes_bytes(tables);
}

void kws_lfbe_compute(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t frames,
                      int16_t *features, void *scratch)
{
    size_t done;
    for (done = 0; done < frames; done += KWS_LFBE_LANES) {
        kws_lfbe_lanes(tables, first + done * stride, stride, smaller(frames - done, KWS_LFBE_LANES),
                       features + done * tables->bands, scratch);
    }
}
