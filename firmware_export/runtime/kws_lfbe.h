/* Log filter-bank energies (LFBE) of 16-bit audio, in integers: the frontend of kws.
 *
 * The specification is kws/frontend/lfbe.py; this code gives the same numbers bit for bit. The caller owns all memory
 * and asks how much: no malloc, no float, nothing of the C library but memcpy and memset, no global that is written.
 * Signed right shifts are taken to be arithmetic, as on every compiler for the targets.
 *
 * Typical use, any number of samples at a time:
 *
 *   static uint64_t memory[...];               // kws_lfbe_memory_bytes(&tables) bytes
 *   kws_lfbe_t lfbe;
 *   kws_lfbe_init(&lfbe, &tables, memory);
 *   frames = kws_lfbe_push(&lfbe, samples, count, features);
 */
#ifndef KWS_LFBE_H
#define KWS_LFBE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What one config of the frontend multiplies with: kws.frontend.tables.Tables has the same fields in the same order
 * and says what each holds. With N = fft_size / 2: */
typedef struct {
    uint16_t window_samples;     /* in one window; even, at most fft_size */
    uint16_t hop_samples;        /* from one window's start to the next's; at most window_samples */
    uint16_t fft_size;           /* 256, 512 or 1024 */
    uint16_t bands;              /* features in one frame */
    uint16_t energy_bits;        /* accumulated energies are 2^(energy_bits + 2 * shift) times the true ones */
    const int16_t *window;       /* [window_samples], Q15 */
    const int32_t *twiddles;     /* Q31: pass by pass, k = 1 .. n / 4 - 1: cos, sin of 1, 2, 3 times 2 pi k / n */
    const int32_t *split;        /* [N - 2], Q31: cos, sin of 2 pi k / fft_size, k = 1 .. N / 2 - 1 */
    const uint16_t *order;       /* [N]: where the FFT leaves bin k */
    const uint16_t *mel_edges;   /* [bands + 2]: piece j holds the bins mel_edges[j] .. mel_edges[j + 1] - 1 */
    const uint16_t *mel_weights; /* [mel_edges[bands + 1] - mel_edges[0]], Q16: rising weight of each bin */
    const uint16_t *log2_table;  /* [65], Q15: log2(1 + i / 64) */
} kws_lfbe_tables_t;

/* The state of one stream; its fields are private. */
typedef struct {
    const kws_lfbe_tables_t *tables;
    int16_t *held;       /* samples that still belong to a window to come, oldest first */
    size_t held_samples; /* below window_samples between calls */
    void *scratch;       /* for the frames being computed */
} kws_lfbe_t;

/* 1 if no frame can reach outside the arrays that the tables describe, else 0. The arrays' own lengths cannot be
 * checked. */
int kws_lfbe_check(const kws_lfbe_tables_t *tables);

/* Bytes of memory that a stream needs, 8-byte aligned (default config on a device: about 3 KB). */
size_t kws_lfbe_memory_bytes(const kws_lfbe_tables_t *tables);

/* Start a stream. tables and memory (kws_lfbe_memory_bytes bytes, 8-byte aligned) must outlive it. */
void kws_lfbe_init(kws_lfbe_t *lfbe, const kws_lfbe_tables_t *tables, void *memory);

/* Forget every sample, as at the start of the stream. */
void kws_lfbe_reset(kws_lfbe_t *lfbe);

/* Frames that the next push of so many samples will give; at most 1 when it is at most hop_samples. */
size_t kws_lfbe_frames(const kws_lfbe_t *lfbe, size_t samples);

/* Take any number of samples; write features [frames][bands] (Q6.9 log2) and return frames.
 * features must have room for kws_lfbe_frames(lfbe, count) * bands values. */
size_t kws_lfbe_push(kws_lfbe_t *lfbe, const int16_t *samples, size_t count, int16_t *features);

/* Bytes of scratch that kws_lfbe_compute needs, 8-byte aligned. */
size_t kws_lfbe_scratch_bytes(const kws_lfbe_tables_t *tables);

/* Without a stream: frame i is the window_samples samples from first + i * stride; features is [frames][bands]. */
void kws_lfbe_compute(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t frames,
                      int16_t *features, void *scratch);

#ifdef __cplusplus
}
#endif

#endif
