/* The arithmetic of a frame: window, FFT, powers, mel bands, log2. kws/frontend/lfbe.py is its specification.
 *
 * LANES frames lie side by side, sample by sample, and every inner loop runs over the lanes: a device's compiler sees
 * scalar code (LANES is 1), a host's compiler fills a vector register. Integers give the same bits either way. */
#include "kws_lfbe_frame.h"

#include <string.h>

#ifndef KWS_LFBE_DSP /* lfbe_dsp.c does it there */

#define LANES KWS_LFBE_LANES
#define PEAK_BITS 24   /* of the largest windowed sample, so that the FFT cannot overflow */
#define POWER_SHIFT 14 /* off |X|^2, so that weighted sums fit into 64 bits */
#define ALIGNMENT 64   /* of the scratch, where vectors are used */

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* One complex number of the FFT for each lane, then the power of one bin. */
typedef union {
    struct {
        int32_t re[LANES], im[LANES];
    } z;
    uint64_t power[LANES];
} slot_t;

/* High half of the product, rounded down. A Cortex-M0 multiplies 32 bits by 32 to 32: four products of halves are a
 * third of what its compilers call for one of 64 bits (Warren, Hacker's Delight, mulhs). */
#if defined(__thumb__) && !defined(__thumb2__)
INLINE int32_t high(int32_t a, int32_t b)
{
    const int32_t low_a = a & 0xFFFF, up_a = a >> 16, low_b = b & 0xFFFF, up_b = b >> 16;
    const int32_t first = up_a * low_b + (int32_t)((uint32_t)low_a * (uint32_t)low_b >> 16);
    const int32_t second = low_a * up_b + (first & 0xFFFF);
    return up_a * up_b + (first >> 16) + (second >> 16);
}
#else
INLINE int32_t high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}
#endif

/* Left shift of a signed number that stays in range. */
INLINE int32_t shift_left(int32_t value, unsigned bits)
{
    return (int32_t)((uint32_t)value << bits);
}

INLINE unsigned leading_zeros(uint32_t value)
{
#if defined(__GNUC__)
    return value ? (unsigned)__builtin_clz(value) : 32u;
#else
    unsigned zeros = 32u;
    for (; value; value >>= 1) {
        zeros--;
    }
    return zeros;
#endif
}

INLINE unsigned leading_zeros64(uint64_t value)
{
    uint32_t upper = (uint32_t)(value >> 32);
    return upper ? leading_zeros(upper) : 32u + leading_zeros((uint32_t)value);
}

/* Bring the frames side by side: raw[n][lane]. Lanes without a frame repeat the first one. */
INLINE const int16_t *interleave(const int16_t *first, size_t stride, size_t lanes, size_t samples, int16_t *raw)
{
#if LANES == 1
    (void)stride;
    (void)lanes;
    (void)samples;
    (void)raw;
    return first;
#else
    size_t l, n;
    for (l = 0; l < LANES; l++) {
        const int16_t *frame = first + (l < lanes ? l * stride : 0);
        for (n = 0; n < samples; n++) {
            raw[n * LANES + l] = frame[n];
        }
    }
    return raw;
#endif
}

/* Window the samples; even ones become real, odd ones imaginary parts, shifted to PEAK_BITS. */
INLINE void load(const kws_lfbe_tables_t *tables, const int16_t *raw, slot_t *slots, unsigned *shift)
{
    size_t pairs = tables->window_samples / 2u, n, l;
    int32_t ones[LANES];
    memset(ones, 0, sizeof ones);
    for (n = 0; n < pairs; n++) {
        int32_t even = tables->window[2 * n], odd = tables->window[2 * n + 1];
        const int16_t *x = raw + 2 * n * LANES;
        for (l = 0; l < LANES; l++) {
            int32_t re = x[l] * even, im = x[LANES + l] * odd;
            slots[n].z.re[l] = re;
            slots[n].z.im[l] = im;
            ones[l] |= (re ^ (re >> 31)) | (im ^ (im >> 31));
        }
    }
    for (l = 0; l < LANES; l++) {
        shift[l] = leading_zeros((uint32_t)ones[l]) - 1u;
    }
    for (n = 0; n < pairs; n++) {
        for (l = 0; l < LANES; l++) {
            slots[n].z.re[l] = shift_left(slots[n].z.re[l], shift[l]) >> (31 - PEAK_BITS);
            slots[n].z.im[l] = shift_left(slots[n].z.im[l], shift[l]) >> (31 - PEAK_BITS);
        }
    }
    memset(slots + pairs, 0, (tables->fft_size / 2u - pairs) * sizeof(slot_t));
}

/* DFT of 2 points in place. */
INLINE void radix2(slot_t *restrict a, slot_t *restrict b)
{
    size_t l;
    for (l = 0; l < LANES; l++) {
        int32_t re = a->z.re[l] - b->z.re[l], im = a->z.im[l] - b->z.im[l];
        a->z.re[l] += b->z.re[l];
        a->z.im[l] += b->z.im[l];
        b->z.re[l] = re;
        b->z.im[l] = im;
    }
}

/* DFT of 4 points in place, halved by shift = 1. */
INLINE void radix4(slot_t *restrict a, slot_t *restrict b, slot_t *restrict c, slot_t *restrict d, int shift)
{
    size_t l;
    for (l = 0; l < LANES; l++) {
        int32_t sum_re = a->z.re[l] + c->z.re[l], sum_im = a->z.im[l] + c->z.im[l];
        int32_t dif_re = a->z.re[l] - c->z.re[l], dif_im = a->z.im[l] - c->z.im[l];
        int32_t sum2_re = b->z.re[l] + d->z.re[l], sum2_im = b->z.im[l] + d->z.im[l];
        int32_t dif2_re = b->z.re[l] - d->z.re[l], dif2_im = b->z.im[l] - d->z.im[l];
        a->z.re[l] = (sum_re + sum2_re) >> shift;
        a->z.im[l] = (sum_im + sum2_im) >> shift;
        b->z.re[l] = (dif_re + dif2_im) >> shift;
        b->z.im[l] = (dif_im - dif2_re) >> shift;
        c->z.re[l] = (sum_re - sum2_re) >> shift;
        c->z.im[l] = (sum_im - sum2_im) >> shift;
        d->z.re[l] = (dif_re - dif2_im) >> shift;
        d->z.im[l] = (dif_im + dif2_re) >> shift;
    }
}

/* The same, halved, output r turned back by twiddle r: w is cos, sin of r = 1, 2, 3. */
INLINE void radix4_turned(slot_t *restrict a, slot_t *restrict b, slot_t *restrict c, slot_t *restrict d,
                          const int32_t *restrict w)
{
    const int32_t cos1 = w[0], sin1 = w[1], cos2 = w[2], sin2 = w[3], cos3 = w[4], sin3 = w[5];
    size_t l;
    for (l = 0; l < LANES; l++) {
        int32_t sum_re = a->z.re[l] + c->z.re[l], sum_im = a->z.im[l] + c->z.im[l];
        int32_t dif_re = a->z.re[l] - c->z.re[l], dif_im = a->z.im[l] - c->z.im[l];
        int32_t sum2_re = b->z.re[l] + d->z.re[l], sum2_im = b->z.im[l] + d->z.im[l];
        int32_t dif2_re = b->z.re[l] - d->z.re[l], dif2_im = b->z.im[l] - d->z.im[l];
        int32_t re1 = dif_re + dif2_im, im1 = dif_im - dif2_re;
        int32_t re2 = sum_re - sum2_re, im2 = sum_im - sum2_im;
        int32_t re3 = dif_re - dif2_im, im3 = dif_im + dif2_re;
        a->z.re[l] = (sum_re + sum2_re) >> 1;
        a->z.im[l] = (sum_im + sum2_im) >> 1;
        b->z.re[l] = high(re1, cos1) + high(im1, sin1);
        b->z.im[l] = high(im1, cos1) - high(re1, sin1);
        c->z.re[l] = high(re2, cos2) + high(im2, sin2);
        c->z.im[l] = high(im2, cos2) - high(re2, sin2);
        d->z.re[l] = high(re3, cos3) + high(im3, sin3);
        d->z.im[l] = high(im3, cos3) - high(re3, sin3);
    }
}

/* Complex FFT in place, decimation in frequency. */
INLINE void fft(const kws_lfbe_tables_t *tables, slot_t *slots)
{
    size_t points = tables->fft_size / 2u, size, at, k;
    const int32_t *twiddles = tables->twiddles;
    for (size = points; size > 4; size /= 4) {
        size_t quarter = size / 4;
        for (at = 0; at < points; at += size) {
            slot_t *a = slots + at;
            const int32_t *w = twiddles;
            radix4(a, a + quarter, a + 2 * quarter, a + 3 * quarter, 1);
            for (k = 1; k < quarter; k++, w += 6) {
                radix4_turned(a + k, a + k + quarter, a + k + 2 * quarter, a + k + 3 * quarter, w);
            }
        }
        twiddles += 6 * (quarter - 1);
    }
    for (at = 0; at < points; at += size) {
        if (size == 4) {
            radix4(slots + at, slots + at + 1, slots + at + 2, slots + at + 3, 0);
        } else {
            radix2(slots + at, slots + at + 1);
        }
    }
}

INLINE uint64_t square(int32_t re, int32_t im)
{
    return (uint64_t)((int64_t)re * re + (int64_t)im * im) >> POWER_SHIFT;
}

/* Replace the bins k (slot a) and N - k (slot b) of the complex FFT by the powers of these bins of the real one. */
INLINE void split(slot_t *restrict a, slot_t *restrict b, int32_t cosine, int32_t sine)
{
    int32_t low_re[LANES], low_im[LANES], up_re[LANES], up_im[LANES]; /* powers lie over the numbers they come from */
    size_t l;
    for (l = 0; l < LANES; l++) {
        int32_t plus_re = a->z.re[l] + b->z.re[l], minus_re = a->z.re[l] - b->z.re[l];
        int32_t plus_im = a->z.im[l] + b->z.im[l], minus_im = a->z.im[l] - b->z.im[l];
        int32_t odd_re = high(plus_im, cosine) - high(minus_re, sine);
        int32_t odd_im = high(minus_re, cosine) + high(plus_im, sine);
        low_re[l] = (plus_re >> 1) + odd_re;
        low_im[l] = (minus_im >> 1) - odd_im;
        up_re[l] = (plus_re >> 1) - odd_re;
        up_im[l] = (minus_im >> 1) + odd_im;
    }
    for (l = 0; l < LANES; l++) {
        a->power[l] = square(low_re[l], low_im[l]);
    }
    for (l = 0; l < LANES; l++) {
        b->power[l] = square(up_re[l], up_im[l]);
    }
}

INLINE void powers(const kws_lfbe_tables_t *tables, slot_t *slots)
{
    size_t points = tables->fft_size / 2u, k, l;
    slot_t *middle = slots + tables->order[points / 2], old = *middle;
    for (k = 1; k < points / 2; k++) {
        split(slots + tables->order[k], slots + tables->order[points - k], tables->split[2 * k - 2],
              tables->split[2 * k - 1]);
    }
    for (l = 0; l < LANES; l++) {
        middle->power[l] = square(old.z.re[l], old.z.im[l]);
    }
}

/* log2 of the true energy in Q6.9, at least 0; energy is 2^scale times the true one. */
INLINE int16_t log2_energy(uint64_t energy, unsigned scale, const uint16_t *table)
{
    unsigned zeros = leading_zeros64(energy);
    uint32_t mantissa, piece, part, fraction;
    int32_t value;
    if (energy == 0) {
        return 0;
    }
    mantissa = (uint32_t)((energy << zeros) >> 32); /* 1 then 31 bits of fraction */
    piece = (mantissa >> 25) & 63u;
    part = (mantissa >> 10) & 0x7FFFu;
    fraction = table[piece] + (((uint32_t)(table[piece + 1] - table[piece]) * part) >> 15);
    value = (((int32_t)(63u - zeros) - (int32_t)scale) * 32768 + (int32_t)fraction + 32) >> 6;
    return (int16_t)(value > 0 ? value : 0);
}

/* Sum up the mel bands bin by bin: a bin's rising weight goes to one band, the rest to the band before. */
INLINE void bands(const kws_lfbe_tables_t *tables, const slot_t *slots, const unsigned *shift, size_t lanes,
                  int16_t *features)
{
    const uint16_t *weight = tables->mel_weights;
    uint64_t rising[LANES], sum[LANES], energy[LANES];
    size_t j, k, l;
    memset(rising, 0, sizeof rising);
    for (j = 0; j <= tables->bands; j++) {
        for (l = 0; l < LANES; l++) {
            energy[l] = rising[l];
            rising[l] = sum[l] = 0;
        }
        for (k = tables->mel_edges[j]; k < tables->mel_edges[j + 1]; k++, weight++) {
            const uint64_t *power = slots[tables->order[k]].power;
            for (l = 0; l < LANES; l++) {
                sum[l] += power[l];
                rising[l] += power[l] * *weight;
            }
        }
        if (j == 0) {
            continue;
        }
        for (l = 0; l < lanes; l++) {
            energy[l] += (sum[l] << 16) - rising[l];
            features[l * tables->bands + j - 1] =
                log2_energy(energy[l], tables->energy_bits + 2u * shift[l], tables->log2_table);
        }
    }
}

INLINE void kernel(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t lanes,
                   int16_t *features, void *scratch)
{
    slot_t *slots = (slot_t *)scratch;
    int16_t *raw = (int16_t *)(slots + tables->fft_size / 2u);
    unsigned shift[LANES];
    load(tables, interleave(first, stride, lanes, tables->window_samples, raw), slots, shift);
    fft(tables, slots);
    powers(tables, slots);
    bands(tables, slots, shift, lanes, features);
}

size_t kws_lfbe_lanes_bytes(const kws_lfbe_tables_t *tables)
{
    size_t slots = (tables->fft_size / 2u) * sizeof(slot_t);
    return LANES == 1 ? slots : slots + tables->window_samples * LANES * sizeof(int16_t) + ALIGNMENT;
}

#if LANES > 1 && defined(__GNUC__) && defined(__x86_64__) && !defined(KWS_LFBE_ONE_KERNEL)
/* The same lines compiled for each vector unit; the processor at hand decides. */
#define VECTOR_KERNELS
#if defined(__clang__)
#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl"
#else
#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"
#endif
__attribute__((target(AVX512))) static void kernel_avx512(const kws_lfbe_tables_t *tables, const int16_t *first,
                                                          size_t stride, size_t lanes, int16_t *features, void *scratch)
{
    kernel(tables, first, stride, lanes, features, scratch);
}

__attribute__((target("avx2"))) static void kernel_avx2(const kws_lfbe_tables_t *tables, const int16_t *first,
                                                        size_t stride, size_t lanes, int16_t *features, void *scratch)
{
    kernel(tables, first, stride, lanes, features, scratch);
}
#endif

void kws_lfbe_lanes(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t lanes,
                    int16_t *features, void *scratch)
{
#if LANES > 1
    scratch = (unsigned char *)scratch + (ALIGNMENT - (uintptr_t)scratch % ALIGNMENT) % ALIGNMENT;
#endif
#ifdef VECTOR_KERNELS
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl")) {
        kernel_avx512(tables, first, stride, lanes, features, scratch);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        kernel_avx2(tables, first, stride, lanes, features, scratch);
        return;
    }
#endif
    kernel(tables, first, stride, lanes, features, scratch);
}

#endif
