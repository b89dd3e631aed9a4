/* Depthwise convolutions four channels at a time, with the instructions of kws_dsp.h. kws/graph/layout.py says how the
 * weights lie, and why. */
#include "kws_dsp.h"
#include "kws_ops_kernels.h"
#include "kws_ops_scale.h"

#ifdef KWS_DSP

/* The inner loops are written out: compilers keep some of so many values in memory. They begin with the offsets of the
 * first pair of positions in `one` and `other` and end at the offset below 0. What four channels have at one position
 * and at the other is brought together, two channels in a word, widened, and multiplied by weights in that order. */
#define JOIN_POSITIONS                        \
    "1:\n"                                    \
    "ldr %[one], [%[x], %[one]]\n"            \
    "ldr %[other], [%[x], %[other]]\n"        \
    "pkhbt %[t], %[one], %[other], lsl #16\n" \
    "pkhtb %[other], %[other], %[one], asr #16\n"

#define NEXT_POSITIONS                          \
    "ldrd %[one], %[other], [%[offsets]], #8\n" \
    "cmp %[one], #0\n"                          \
    "bge 1b\n"

/* Two channels: x holds them at both positions, and w at both positions next. */
#define BYTES_OF_TWO_CHANNELS(x, even, odd)     \
    "ldr %[w1], [%[w]], #4\n"                   \
    "sxtb16 %[one], " x "\n"                    \
    "sxtb16 %[w0], %[w1]\n"                     \
    "smlad " even ", %[one], %[w0], " even "\n" \
    "sxtb16 " x ", " x ", ror #8\n"             \
    "sxtb16 %[w1], %[w1], ror #8\n"             \
    "smlad " odd ", " x ", %[w1], " odd "\n"

#define PAIRS_OF_BYTES                                                                                                 \
    JOIN_POSITIONS BYTES_OF_TWO_CHANNELS("%[t]", "%[s0]", "%[s1]") BYTES_OF_TWO_CHANNELS("%[other]", "%[s2]", "%[s3]") \
        NEXT_POSITIONS

/* The products of four channels at the pairs of positions with 8-bit weights are added to their sums; returns the
 * weights behind them. */
static inline const int8_t *add_pairs_of_bytes(const int32_t *pairs, const int8_t *input, const int8_t *weights,
                                               int32_t *sums)
{
    register int32_t s0 KWS_IN("r4") = sums[0];
    register int32_t s1 KWS_IN("r5") = sums[1];
    register int32_t s2 KWS_IN("r6") = sums[2];
    register int32_t s3 KWS_IN("r8") = sums[3];
    register const int8_t *w KWS_IN("r10") = weights;
    register const int8_t *x KWS_IN("r0") = input;
    register const int32_t *offsets KWS_IN("r1") = pairs;
    register int32_t one KWS_IN("r2");
    register int32_t other KWS_IN("r3");
    register uint32_t t KWS_IN("r11");
    register uint32_t w0 KWS_IN("r12");
    register uint32_t w1 KWS_IN("lr");
    KWS_LOAD_TWO(one, other, offsets);
    if (one >= 0) {
        __asm__ volatile(
            PAIRS_OF_BYTES
            : [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2), [s3] "+&r"(s3), [one] "+&r"(one), [other] "+&r"(other),
              [offsets] "+&r"(offsets), [w] "+&r"(w), [t] "=&r"(t), [w0] "=&r"(w0), [w1] "=&r"(w1)
            : [x] "r"(x)
            : "cc", "memory");
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    return w;
}

/* The products of the next four channels are added to their sums; the weights move on. */
static inline void add_bytes(const kws_depthwise_conv2d_t *conv, const int8_t *x, const int8_t **weights, int32_t *sums)
{
    const int8_t *w = *weights;
    if (conv->odd) {
        const uint32_t bytes = kws_load_word(x);
        const uint32_t by = kws_load_word(w);
        w += 4;
        sums[0] = kws_multiply_low(kws_widen_even(bytes), kws_widen_even(by), sums[0]);
        sums[1] = kws_multiply_low(kws_widen_odd(bytes), kws_widen_odd(by), sums[1]);
        sums[2] = kws_multiply_high_by_high(kws_widen_even(bytes), kws_widen_even(by), sums[2]);
        sums[3] = kws_multiply_high_by_high(kws_widen_odd(bytes), kws_widen_odd(by), sums[3]);
    }
    *weights = add_pairs_of_bytes(conv->offsets, x, w, sums);
}

/* Four channels, their 4-bit weights brought to the highest bits of each half, one after the other. */
#define NIBBLES_OF_FOUR_CHANNELS              \
    "ldr %[w0], [%[w]]\n"                     \
    "sxtb16 %[one], %[t]\n"                   \
    "and %[w0], %[highest], %[w0], lsl #12\n" \
    "smlad %[s0], %[one], %[w0], %[s0]\n"     \
    "ldr %[w0], [%[w]]\n"                     \
    "sxtb16 %[t], %[t], ror #8\n"             \
    "and %[w0], %[highest], %[w0], lsl #8\n"  \
    "smlad %[s1], %[t], %[w0], %[s1]\n"       \
    "ldr %[t], [%[w]], #4\n"                  \
    "sxtb16 %[one], %[other]\n"               \
    "and %[w0], %[highest], %[t], lsl #4\n"   \
    "smlad %[s2], %[one], %[w0], %[s2]\n"     \
    "sxtb16 %[other], %[other], ror #8\n"     \
    "and %[w0], %[highest], %[t]\n"           \
    "smlad %[s3], %[other], %[w0], %[s3]\n"

#define PAIRS_OF_NIBBLES JOIN_POSITIONS NIBBLES_OF_FOUR_CHANNELS NEXT_POSITIONS

/* The same with 4-bit weights, 4096 times. */
static inline const int8_t *add_pairs_of_nibbles(const int32_t *pairs, const int8_t *input, const int8_t *weights,
                                                 int32_t *sums)
{
    register int32_t s0 KWS_IN("r4") = sums[0];
    register int32_t s1 KWS_IN("r5") = sums[1];
    register int32_t s2 KWS_IN("r6") = sums[2];
    register int32_t s3 KWS_IN("r8") = sums[3];
    register const int8_t *w KWS_IN("r10") = weights;
    register const int8_t *x KWS_IN("r0") = input;
    register const int32_t *offsets KWS_IN("r1") = pairs;
    register int32_t one KWS_IN("r2");
    register int32_t other KWS_IN("r3");
    register uint32_t highest KWS_IN("r11") = UINT32_C(0xF000F000);
    register uint32_t t KWS_IN("r12");
    register uint32_t w0 KWS_IN("lr");
    KWS_LOAD_TWO(one, other, offsets);
    if (one >= 0) {
        __asm__ volatile(PAIRS_OF_NIBBLES
                         : [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2), [s3] "+&r"(s3), [one] "+&r"(one),
                           [other] "+&r"(other), [offsets] "+&r"(offsets), [w] "+&r"(w), [t] "=&r"(t), [w0] "=&r"(w0)
                         : [x] "r"(x), [highest] "r"(highest)
                         : "cc", "memory");
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    return w;
}

static inline void add_nibbles(const kws_depthwise_conv2d_t *conv, const int8_t *x, const int8_t **weights,
                               int32_t *sums)
{
    const uint32_t highest = UINT32_C(0xF000F000);
    const int8_t *w = *weights;
    if (conv->odd) {
        const uint32_t bytes = kws_load_word(x);
        const uint32_t by = kws_load_word(w);
        w += 4;
        sums[0] = kws_multiply_low(kws_widen_even(bytes), by << 12, sums[0]);
        sums[1] = kws_multiply_low(kws_widen_odd(bytes), (by << 8) & highest, sums[1]);
        sums[2] = kws_multiply_high_by_low(kws_widen_even(bytes), (by << 4) & highest, sums[2]);
        sums[3] = kws_multiply_high_by_low(kws_widen_odd(bytes), by & highest, sums[3]);
    }
    *weights = add_pairs_of_nibbles(conv->offsets, x, w, sums);
}

/* ---- few positions -------------------------------------------------------------------------------------------- */

/* The sums of `groups` times four channels of a position. */
static KWS_NOT_INLINE void sum_groups_of_bytes(const kws_depthwise_conv2d_t *conv, const int8_t *x, int32_t groups,
                                               int32_t *sums)
{
    const int32_t *bias = conv->bias;
    const int8_t *w = conv->weights;
    for (; groups > 0; --groups) {
        int32_t four[4];
        KWS_LOAD_TWO(four[0], four[1], bias);
        KWS_LOAD_TWO(four[2], four[3], bias);
        add_bytes(conv, x, &w, four);
        KWS_STORE_TWO(four[0], four[1], sums);
        KWS_STORE_TWO(four[2], four[3], sums);
        x += 4;
    }
}

static KWS_NOT_INLINE void sum_groups_of_nibbles(const kws_depthwise_conv2d_t *conv, const int8_t *x, int32_t groups,
                                                 int32_t *sums)
{
    const int32_t *bias = conv->bias;
    const int8_t *w = conv->weights;
    for (; groups > 0; --groups) {
        int32_t four[4] = {0, 0, 0, 0};
        int32_t first, second;
        add_nibbles(conv, x, &w, four);
        KWS_LOAD_TWO(first, second, bias);
        KWS_STORE_TWO(first + (four[0] >> 12), second + (four[1] >> 12), sums);
        KWS_LOAD_TWO(first, second, bias);
        KWS_STORE_TWO(first + (four[2] >> 12), second + (four[3] >> 12), sums);
        x += 4;
    }
}

/* Positions one by one. */
static void take_positions(const kws_depthwise_conv2d_t *conv, int32_t channels, const int8_t *x, int32_t *sums,
                           int8_t *y)
{
    const kws_scaling_t scaling = {conv->multipliers,    conv->right_shifts,   conv->output_zero_point,
                                   conv->output_minimum, conv->output_maximum, conv->plain};
    int32_t time;
    int32_t frequency;
    for (time = 0; time < conv->output_time; ++time) {
        for (frequency = 0; frequency < conv->output_frequency; ++frequency) {
            const int8_t *at = x + time * conv->step_time + frequency * conv->step_frequency;
            if (conv->weight_bits == 4) {
                sum_groups_of_nibbles(conv, at, channels / 4, sums);
            } else {
                sum_groups_of_bytes(conv, at, channels / 4, sums);
            }
            kws_scale_channels(&scaling, channels, sums, y);
            y += conv->channels;
        }
    }
}

/* ---- many positions ------------------------------------------------------------------------------------------- */

/* Weights of 4 bits at two places of a word, as halves. */
static inline uint32_t two_nibbles(uint32_t word, uint32_t low, uint32_t high)
{
    const int32_t first = (int32_t)(word << (28 - 4 * low)) >> 28;
    const int32_t second = (int32_t)(word << (28 - 4 * high)) >> 28;
    return kws_low_halves((uint32_t)first, (uint32_t)second);
}

/* The weights of four channels, widened, in the order in which they are multiplied: those of an odd first position as
 * the channels 0 and 2, then 1 and 3; those of a pair for each channel in turn. */
static void widen_weights(const kws_depthwise_conv2d_t *conv, const int8_t *w, uint32_t *words)
{
    const int32_t four_bits = conv->weight_bits == 4;
    int32_t pair;
    uint32_t bytes;
    if (conv->odd) {
        bytes = kws_load_word(w);
        w += 4;
        *words++ = four_bits ? two_nibbles(bytes, 0, 2) : kws_widen_even(bytes);
        *words++ = four_bits ? two_nibbles(bytes, 1, 3) : kws_widen_odd(bytes);
    }
    for (pair = 0; pair < conv->pairs; ++pair) {
        bytes = kws_load_word(w);
        w += 4;
        *words++ = four_bits ? two_nibbles(bytes, 0, 4) : kws_widen_even(bytes);
        *words++ = four_bits ? two_nibbles(bytes, 1, 5) : kws_widen_odd(bytes);
        if (!four_bits) {
            bytes = kws_load_word(w);
            w += 4;
        }
        *words++ = four_bits ? two_nibbles(bytes, 2, 6) : kws_widen_even(bytes);
        *words++ = four_bits ? two_nibbles(bytes, 3, 7) : kws_widen_odd(bytes);
    }
}

/* What four channels need at every position: biases, then of each channel twice its multiplier and the power of two
 * that shifts right (kws_scale_plain), then weights. */
static KWS_NOT_INLINE void prepare_four(const kws_depthwise_conv2d_t *conv, int32_t first, uint32_t *words)
{
    const int32_t group_bytes = 4 * conv->odd + conv->weight_bits * conv->pairs;
    int32_t c;
    for (c = 0; c < 4; ++c) {
        words[c] = (uint32_t)conv->bias[first + c];
        words[4 + 2 * c] = (uint32_t)conv->multipliers[first + c] << 1;
        words[5 + 2 * c] = (uint32_t)kws_power_below((uint32_t)conv->right_shifts[first + c]);
    }
    widen_weights(conv, conv->weights + first / 4 * group_bytes, words + 12);
}

/* Two channels: x holds them at both positions. */
#define WORDS_OF_TWO_CHANNELS(x, even, odd)     \
    "ldrd %[w0], %[w1], [%[w]], #8\n"           \
    "sxtb16 %[one], " x "\n"                    \
    "smlad " even ", %[one], %[w0], " even "\n" \
    "sxtb16 " x ", " x ", ror #8\n"             \
    "smlad " odd ", " x ", %[w1], " odd "\n"

#define PAIRS_OF_WORDS                                                                                                 \
    JOIN_POSITIONS WORDS_OF_TWO_CHANNELS("%[t]", "%[s0]", "%[s1]") WORDS_OF_TWO_CHANNELS("%[other]", "%[s2]", "%[s3]") \
        NEXT_POSITIONS

/* The products of four channels at the pairs of positions with widened weights are added to their sums. */
static inline void add_prepared_pairs(const int32_t *pairs, const int8_t *input, const uint32_t *weights, int32_t *sums)
{
    register int32_t s0 KWS_IN("r4") = sums[0];
    register int32_t s1 KWS_IN("r5") = sums[1];
    register int32_t s2 KWS_IN("r6") = sums[2];
    register int32_t s3 KWS_IN("r8") = sums[3];
    register const uint32_t *w KWS_IN("r10") = weights;
    register const int8_t *x KWS_IN("r0") = input;
    register const int32_t *offsets KWS_IN("r1") = pairs;
    register int32_t one KWS_IN("r2");
    register int32_t other KWS_IN("r3");
    register uint32_t t KWS_IN("r11");
    register uint32_t w0 KWS_IN("r12");
    register uint32_t w1 KWS_IN("lr");
    KWS_LOAD_TWO(one, other, offsets);
    if (one >= 0) {
        __asm__ volatile(
            PAIRS_OF_WORDS
            : [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2), [s3] "+&r"(s3), [one] "+&r"(one), [other] "+&r"(other),
              [offsets] "+&r"(offsets), [w] "+&r"(w), [t] "=&r"(t), [w0] "=&r"(w0), [w1] "=&r"(w1)
            : [x] "r"(x)
            : "cc", "memory");
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Four channels of the output whose input starts at x. */
static inline void take_prepared(const uint32_t *words, const int32_t *offsets, int32_t has_odd, int32_t zero_point,
                                 const int8_t *x, int8_t *y)
{
    const uint32_t *scaling = words + 4;
    const uint32_t *w = words + 12;
    int32_t sums[4];
    uint32_t w0, w1;
    KWS_LOAD_TWO(sums[0], sums[1], words);
    KWS_LOAD_TWO(sums[2], sums[3], words);
    if (has_odd) {
        const uint32_t bytes = kws_load_word(x);
        KWS_LOAD_TWO(w0, w1, w);
        sums[0] = kws_multiply_low(kws_widen_even(bytes), w0, sums[0]);
        sums[1] = kws_multiply_low(kws_widen_odd(bytes), w1, sums[1]);
        sums[2] = kws_multiply_high_by_high(kws_widen_even(bytes), w0, sums[2]);
        sums[3] = kws_multiply_high_by_high(kws_widen_odd(bytes), w1, sums[3]);
    }
    add_prepared_pairs(offsets, x, w, sums);
    KWS_LOAD_TWO(w0, w1, scaling);
    y[0] = kws_scale_prepared(sums[0], (int32_t)w0, (int32_t)w1, zero_point);
    KWS_LOAD_TWO(w0, w1, scaling);
    y[1] = kws_scale_prepared(sums[1], (int32_t)w0, (int32_t)w1, zero_point);
    KWS_LOAD_TWO(w0, w1, scaling);
    y[2] = kws_scale_prepared(sums[2], (int32_t)w0, (int32_t)w1, zero_point);
    KWS_LOAD_TWO(w0, w1, scaling);
    y[3] = kws_scale_prepared(sums[3], (int32_t)w0, (int32_t)w1, zero_point);
}

/* A row of positions for four prepared channels. */
static KWS_NOT_INLINE void take_row(const kws_depthwise_conv2d_t *conv, const uint32_t *words, const int8_t *x,
                                    int8_t *y)
{
    const int32_t *offsets = conv->offsets;
    int32_t left;
    for (left = conv->output_frequency; left > 0; --left) {
        take_prepared(words, offsets, conv->odd, conv->output_zero_point, x, y);
        x += conv->step_frequency;
        y += conv->channels;
    }
}

/* ---- the operator --------------------------------------------------------------------------------------------- */

/* Four channels at all positions, then the next four. */
static void take_channels(const kws_depthwise_conv2d_t *conv, int32_t channels, const int8_t *x, uint32_t *words,
                          int8_t *y)
{
    int32_t first;
    int32_t time;
    for (first = 0; first < channels; first += 4) {
        prepare_four(conv, first, words);
        for (time = 0; time < conv->output_time; ++time) {
            take_row(conv, words, x + first + time * conv->step_time,
                     y + first + time * conv->output_frequency * conv->channels);
        }
    }
}

int32_t kws_run_depthwise_groups(const kws_depthwise_conv2d_t *conv, int8_t *arena)
{
    const int32_t channels = conv->plain ? conv->channels & ~3 : 0;
    const int8_t *x = arena + conv->input;
    int8_t *y = arena + conv->output;
    void *scratch = arena + conv->scratch;
    if (conv->output_time * conv->output_frequency < KWS_MANY_POSITIONS) {
        take_positions(conv, channels, x, (int32_t *)scratch, y);
    } else {
        take_channels(conv, channels, x, (uint32_t *)scratch, y);
    }
    return channels;
}

#endif
