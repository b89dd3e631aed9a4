/* One frame on a processor with the instructions of kws_dsp.h: what lfbe_frame.c computes, bit for bit, in fewer of
 * them. kws/frontend/lfbe.py is the specification. A slot is two words: a complex number, later the power of a bin. */
#include "kws_lfbe_frame.h"

#include <string.h>

#ifdef KWS_LFBE_DSP

#define PEAK_SHIFT 7 /* from 31 bits to the 24 of the largest windowed sample */
#define POWER_SHIFT 14

/* High half of the product, rounded down. */
static inline int32_t high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* Window the samples and write them as the slots up to `end`; returns the bits of all magnitudes. */
static KWS_NOT_INLINE uint32_t window(const int16_t *weights, const int16_t *samples, int32_t *slots,
                                      const int32_t *end)
{
    uint32_t ones = 0;
    do {
        const uint32_t w = kws_load_word(weights), x = kws_load_word(samples);
        const int32_t re = kws_product_of_low(x, w), im = kws_product_of_high(x, w);
        weights += 2;
        samples += 2;
        KWS_STORE_TWO(re, im, slots);
        ones |= (uint32_t)(re ^ (re >> 31));
        ones |= (uint32_t)(im ^ (im >> 31));
    } while (slots != end);
    return ones;
}

/* Shift the slots left by as many bits, or right by the rest. */
static KWS_NOT_INLINE void normalise(int32_t *slots, const int32_t *end, int32_t left)
{
    int32_t re, im;
    if (left >= 0) {
        do {
            KWS_LOAD_TWO_AT(re, im, slots);
            KWS_STORE_TWO((int32_t)((uint32_t)re << left), (int32_t)((uint32_t)im << left), slots);
        } while (slots != end);
    } else {
        do {
            KWS_LOAD_TWO_AT(re, im, slots);
            KWS_STORE_TWO(re >> -left, im >> -left, slots);
        } while (slots != end);
    }
}

/* a, b = a + b, a - b without a third register. */
#define BUTTERFLY(a, b) __asm__("add %0, %0, %1\n\tsub %1, %0, %1, lsl #1" : "+&r"(a), "+&r"(b))

/* DFT of 4 points; the second comes out in b, the third in c, the fourth in d. */
#define RADIX4(a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im) \
    BUTTERFLY(a_re, c_re);                                     \
    BUTTERFLY(a_im, c_im);                                     \
    BUTTERFLY(b_re, d_re);                                     \
    BUTTERFLY(b_im, d_im);                                     \
    BUTTERFLY(a_re, b_re);                                     \
    BUTTERFLY(a_im, b_im);                                     \
    BUTTERFLY(c_re, d_im);                                     \
    BUTTERFLY(c_im, d_re)

/* ... of the points at multiples of `step` words, halved. After RADIX4 b holds the third output, c and d the second:
 * c_re, d_re; and the fourth: d_im, c_im. */
static KWS_NOT_INLINE void radix4_halved(int32_t *a, size_t step)
{
    int32_t *b = a + step, *c = b + step, *d = c + step;
    int32_t a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im;
    KWS_LOAD_TWO_AT(a_re, a_im, a);
    KWS_LOAD_TWO_AT(b_re, b_im, b);
    KWS_LOAD_TWO_AT(c_re, c_im, c);
    KWS_LOAD_TWO_AT(d_re, d_im, d);
    RADIX4(a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im);
    KWS_STORE_TWO(a_re >> 1, a_im >> 1, a);
    KWS_STORE_TWO(c_re >> 1, d_re >> 1, b);
    KWS_STORE_TWO(b_re >> 1, b_im >> 1, c);
    KWS_STORE_TWO(d_im >> 1, c_im >> 1, d);
}

/* A number turned back by the next twiddle goes to the next slot. */
#define TURN(re, im, w, slot)                                                                          \
    do {                                                                                               \
        int32_t cosine_, sine_;                                                                        \
        KWS_LOAD_TWO(cosine_, sine_, w);                                                               \
        KWS_STORE_TWO(high(re, cosine_) + high(im, sine_), high(im, cosine_) - high(re, sine_), slot); \
    } while (0)

/* The same for one k after the other, output r turned back by twiddle r; returns the next twiddles. */
static KWS_NOT_INLINE const int32_t *turned(int32_t *a, size_t step, const int32_t *w)
{
    int32_t *b = a + step, *c = b + step, *d = c + step;
    const int32_t *end = b;
    a += 2, b += 2, c += 2, d += 2;
    while (a != end) {
        int32_t a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im;
        KWS_LOAD_TWO_AT(a_re, a_im, a);
        KWS_LOAD_TWO_AT(b_re, b_im, b);
        KWS_LOAD_TWO_AT(c_re, c_im, c);
        KWS_LOAD_TWO_AT(d_re, d_im, d);
        RADIX4(a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im);
        KWS_STORE_TWO(a_re >> 1, a_im >> 1, a);
        TURN(c_re, d_re, w, b);
        TURN(b_re, b_im, w, c);
        TURN(d_im, c_im, w, d);
    }
    return w;
}

/* DFTs of 2 points. */
static void radix2(int32_t *slots, const int32_t *end)
{
    while (slots != end) {
        int32_t *next = slots;
        int32_t a_re, a_im, b_re, b_im;
        KWS_LOAD_TWO(a_re, a_im, next);
        KWS_LOAD_TWO(b_re, b_im, next);
        KWS_STORE_TWO(a_re + b_re, a_im + b_im, slots);
        KWS_STORE_TWO(a_re - b_re, a_im - b_im, slots);
    }
}

/* DFTs of 4 points in a row. */
static KWS_NOT_INLINE void radix4_row(int32_t *slots, const int32_t *end)
{
    const int32_t *next = slots;
    while (next != end) {
        int32_t a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im;
        KWS_LOAD_TWO(a_re, a_im, next);
        KWS_LOAD_TWO(b_re, b_im, next);
        KWS_LOAD_TWO(c_re, c_im, next);
        KWS_LOAD_TWO(d_re, d_im, next);
        RADIX4(a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im);
        KWS_STORE_TWO(a_re, a_im, slots);
        KWS_STORE_TWO(c_re, d_re, slots);
        KWS_STORE_TWO(b_re, b_im, slots);
        KWS_STORE_TWO(d_im, c_im, slots);
    }
}

/* Complex FFT in place, decimation in frequency. */
static void fft(const kws_lfbe_tables_t *tables, int32_t *slots)
{
    const size_t words = tables->fft_size;
    const int32_t *twiddles = tables->twiddles;
    size_t size, at;
    for (size = words; size > 8; size /= 4) {
        const int32_t *next = twiddles;
        for (at = 0; at < words; at += size) {
            radix4_halved(slots + at, size / 4);
            next = turned(slots + at, size / 4, twiddles);
        }
        twiddles = next;
    }
    if (size == 8) {
        radix4_row(slots, slots + words);
    } else {
        radix2(slots, slots + words);
    }
}

static inline uint64_t square(int32_t re, int32_t im)
{
    return (uint64_t)((int64_t)re * re + (int64_t)im * im) >> POWER_SHIFT;
}

#define STORE_POWER(power, address) KWS_STORE_TWO((uint32_t)(power), (uint32_t)((power) >> 32), address)

/* Replace the bins of the complex FFT by the powers of the same bins of the real one. */
static KWS_NOT_INLINE void powers(const uint16_t *order, size_t points, const int32_t *split, int32_t *slots)
{
    const uint16_t *up = order + points - 1, *low = order + 1;
    int32_t *middle, a_re, a_im, b_re, b_im;
    uint64_t power;
    do {
        int32_t *a = slots + 2u * *low++, *b = slots + 2u * *up--;
        int32_t cosine, sine, odd_re, odd_im;
        KWS_LOAD_TWO_AT(a_re, a_im, a);
        KWS_LOAD_TWO_AT(b_re, b_im, b);
        BUTTERFLY(a_re, b_re);
        BUTTERFLY(a_im, b_im);
        KWS_LOAD_TWO(cosine, sine, split);
        odd_re = high(a_im, cosine) - high(b_re, sine);
        odd_im = high(b_re, cosine) + high(a_im, sine);
        power = square((a_re >> 1) + odd_re, (b_im >> 1) - odd_im);
        STORE_POWER(power, a);
        power = square((a_re >> 1) - odd_re, (b_im >> 1) + odd_im);
        STORE_POWER(power, b);
    } while (low != up);
    middle = slots + 2u * *low;
    KWS_LOAD_TWO_AT(a_re, a_im, middle);
    power = square(a_re, a_im);
    STORE_POWER(power, middle);
}

/* log2 of the true energy in Q6.9, at least 0; offset is what the logarithm would be in Q15, 0.5 LSB more, were the
 * energy's highest bit the 64th. */
static inline int16_t log2_energy(uint64_t energy, int32_t offset, const uint16_t *table)
{
    const uint32_t upper = (uint32_t)(energy >> 32), lower = (uint32_t)energy;
    uint32_t mantissa, part;
    int32_t zeros, value;
    if (upper != 0) {
        zeros = __builtin_clz(upper);
        mantissa = upper << zeros | lower >> 1 >> (31 - zeros); /* 1 then 31 bits of fraction */
    } else if (lower != 0) {
        zeros = __builtin_clz(lower);
        mantissa = lower << zeros;
        zeros += 32;
    } else {
        return 0;
    }
    table += mantissa >> 25 & 63u;
    part = mantissa >> 10 & 0x7FFFu;
    value = (offset - zeros * 32768 + (int32_t)(table[0] + ((uint32_t)(table[1] - table[0]) * part >> 15))) >> 6;
    return (int16_t)(value > 0 ? value : 0);
}

/* Sum up the mel bands bin by bin: a bin's rising weight goes to one band, the rest to the band before. */
static KWS_NOT_INLINE void bands(const kws_lfbe_tables_t *tables, const int32_t *slots, int32_t scale,
                                 int16_t *features)
{
    const uint16_t *weight = tables->mel_weights, *edge = tables->mel_edges;
    const uint16_t *order = tables->order + *edge, *table = tables->log2_table;
    const int32_t offset = kws_in_register((63 - scale) * 32768 + 32);
    uint32_t left = tables->bands;
    uint64_t before = 0;
    for (;;) {
        const uint16_t *end = weight + (edge[1] - edge[0]);
        uint64_t sum = 0, rising = 0;
        while (weight != end) {
            const int32_t *slot = slots + 2u * *order++;
            uint32_t lower, upper;
            KWS_LOAD_TWO_AT(lower, upper, slot);
            sum += (uint64_t)upper << 32 | lower;
            rising += (uint64_t)lower * *weight + ((uint64_t)(upper * *weight) << 32);
            weight++;
        }
        if (edge != tables->mel_edges) {
            *features++ = log2_energy(before + (sum << 16) - rising, offset, table);
            if (--left == 0) {
                return;
            }
        }
        before = rising;
        edge++;
    }
}

size_t kws_lfbe_lanes_bytes(const kws_lfbe_tables_t *tables)
{
    return (size_t)tables->fft_size / 2u * 8u;
}

void kws_lfbe_lanes(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t lanes,
                    int16_t *features, void *scratch)
{
    const size_t pairs = tables->window_samples / 2u, points = tables->fft_size / 2u;
    int32_t *slots = (int32_t *)scratch;
    const uint32_t ones = window(tables->window, first, slots, slots + 2u * pairs);
    const int32_t shift = (ones ? __builtin_clz(ones) : 32) - 1;
    (void)stride; /* there is one frame alone */
    (void)lanes;
    normalise(slots, slots + 2u * pairs, shift - PEAK_SHIFT);
    memset(slots + 2u * pairs, 0, (points - pairs) * 8u);
    fft(tables, slots);
    powers(tables->order, points, tables->split, slots);
    bands(tables, slots, tables->energy_bits + 2 * shift, features);
}

#endif
