/* What the files of the operators share: arithmetic, checks, and the operators themselves. Not an interface; see
 * kws_ops.h. */
#ifndef KWS_OPS_KERNELS_H
#define KWS_OPS_KERNELS_H

#include "kws_dsp.h"
#include "kws_ops.h"

/* On a PC the compiler makes a hot loop for several widths of vector registers, and the best one is chosen when the
 * program starts. On a device the plain loop is compiled once. */
#if defined(KWS_HOST) && defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define KWS_VECTORISED __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define KWS_VECTORISED KWS_NOT_INLINE
#endif

/* The rounding doubling high multiply: ties up, that is floor(product / 2^31 + 1/2). With 2^62 added nothing shifted is
 * negative (a right shift of a negative number would be the compiler's choice), and no branch is needed. */
static inline int32_t kws_high_multiply(int32_t value, int32_t multiplier)
{
    const int64_t product = (int64_t)value * multiplier;
    const uint64_t raised = (uint64_t)(product + ((INT64_C(1) << 62) + (INT64_C(1) << 30)));
    return (int32_t)((int64_t)(raised >> 31) - (INT64_C(1) << 31));
}

/* The rounding right shift by 0 .. 31: ties away from zero. */
static inline int32_t kws_divide_by_power_of_two(int32_t value, int32_t exponent)
{
    const uint32_t half = (UINT32_C(1) << exponent) >> 1;
    const uint32_t magnitude = value < 0 ? 0 - (uint32_t)value : (uint32_t)value;
    const int32_t rounded = (int32_t)((magnitude + half) >> exponent);
    return value < 0 ? -rounded : rounded;
}

/* value + zero_point, clamped. A sum that leaves 32 bits, which only damaged weights make, may be any. */
static inline int8_t kws_add_and_clamp(int32_t value, int32_t zero_point, int32_t minimum, int32_t maximum)
{
    const int32_t sum = (int32_t)((uint32_t)value + (uint32_t)zero_point);
    return (int8_t)(sum < minimum ? minimum : sum > maximum ? maximum : sum);
}

/* Checks compute in unsigned 64 bits, where nothing they compute overflows: a product of two int32 that are not
 * negative is below 2^62, so that even four add up to less than 2^64, and is multiplied again only when it fits the
 * arena. What is negative comes out as far too large. */
static inline uint64_t kws_product(int32_t first, int32_t second)
{
    return (uint64_t)((int64_t)first * second);
}

/* From the first of `count` (at least 1) things to the last one, `step` apart. */
static inline uint64_t kws_span(int32_t count, int32_t step)
{
    return kws_product(count - 1, step);
}

static inline int kws_fits(const kws_graph_t *graph, uint64_t bytes)
{
    return bytes <= (uint32_t)graph->arena_bytes;
}

static inline int kws_inside(const kws_graph_t *graph, int32_t offset, uint64_t bytes)
{
    return offset >= 0 && bytes >= 1 && kws_fits(graph, bytes) && kws_fits(graph, bytes + (uint32_t)offset);
}

static inline int kws_is_int8(int32_t value)
{
    return value >= -128 && value <= 127;
}

static inline int kws_is_multiplier(int32_t multiplier, int32_t shift, int32_t largest_shift)
{
    return multiplier >= 0 && shift >= -31 && shift <= largest_shift;
}

static inline int kws_is_output(int32_t zero_point, int32_t minimum, int32_t maximum)
{
    return kws_is_int8(zero_point) && kws_is_int8(minimum) && kws_is_int8(maximum) && minimum <= maximum;
}

/* Is `plain` what the fields of that name promise, for these multipliers and shifts and this clamp? */
static inline int kws_are_scales(const int32_t *multipliers, const int8_t *right_shifts, int32_t count, int32_t plain,
                                 int32_t minimum, int32_t maximum)
{
    int32_t c;
    if (plain != 0 && (plain != 1 || minimum != -128 || maximum != 127)) {
        return 0;
    }
    for (c = 0; c < count; ++c) {
        const int promised = multipliers[c] >= (INT32_C(1) << 30) && right_shifts[c] >= 2;
        if (!kws_is_multiplier(multipliers[c], -right_shifts[c], 30) || (plain == 1 && !promised)) {
            return 0;
        }
    }
    return 1;
}

/* Constants that the operators read by words. */
static inline int kws_is_aligned(const void *constants)
{
    return ((uintptr_t)constants & 3u) == 0;
}

/* ops_conv.c */
void kws_run_conv2d(const kws_conv2d_t *conv, int8_t *arena);
int32_t kws_check_conv2d(const kws_graph_t *graph, const kws_conv2d_t *conv);

/* ops_dot.c: sums = base [two or four a row] + the products of `count` inputs with the first `count` weights of each
 * row, of 8-bit weights (pairs) or 4-bit ones (quads). Inputs come in groups of four, bytes 0, 2, 1, 3 of a word; sums
 * and base are filled up to a multiple of four. */
#define KWS_INPUTS 4
void kws_dot_pairs(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                   const int32_t *base, int32_t *sums);
void kws_dot_quads(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                   const int32_t *base, int32_t *sums);

/* ops_depthwise.c */
void kws_run_depthwise_conv2d(const kws_depthwise_conv2d_t *conv, int8_t *arena);

/* ops_depthwise_dsp.c: the channels 0 .. n - 1 at every position, where KWS_DSP is defined; returns n. */
int32_t kws_run_depthwise_groups(const kws_depthwise_conv2d_t *conv, int8_t *arena);
int32_t kws_check_depthwise_conv2d(const kws_graph_t *graph, const kws_depthwise_conv2d_t *conv);

/* ops_map.c */
void kws_run_pad(const kws_pad_t *pad, int8_t *arena);
void kws_run_add(const kws_add_t *add, int8_t *arena);
void kws_run_max_pool2d(const kws_pool2d_t *pool, int8_t *arena);
void kws_run_average_pool2d(const kws_pool2d_t *pool, int8_t *arena);
int32_t kws_check_pad(const kws_graph_t *graph, const kws_pad_t *pad);
int32_t kws_check_add(const kws_graph_t *graph, const kws_add_t *add);
int32_t kws_check_max_pool2d(const kws_graph_t *graph, const kws_pool2d_t *pool);
int32_t kws_check_average_pool2d(const kws_graph_t *graph, const kws_pool2d_t *pool);

#endif
