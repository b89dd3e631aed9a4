#include "kws_ops_kernels.h"

#include <stddef.h>
#include <string.h>

/* An addition's inputs are shifted left by this before they are scaled; |q - zero_point| is below 2^8. */
#define KWS_ADD_SHIFT 20

/* A window's sum of int8 and the half that rounds it fit an int32 up to this many values. */
#define KWS_LARGEST_WINDOW (INT32_MAX / 129)

/* Channels averaged together, in sums on the stack. */
#define KWS_BLOCK 32

/* ---- padding -------------------------------------------------------------------------------------------------- */

KWS_SMALL void kws_run_pad(const kws_pad_t *pad, int8_t *arena)
{
    const int8_t *x = arena + pad->input;
    int8_t *y = arena + pad->output;
    int32_t row;
    for (row = 0; row < pad->rows; ++row) {
        memset(y, (int)pad->zero_point, (size_t)pad->before_bytes);
        y += pad->before_bytes;
        memcpy(y, x, (size_t)pad->row_bytes);
        y += pad->row_bytes;
        x += pad->row_bytes;
        memset(y, (int)pad->zero_point, (size_t)pad->after_bytes);
        y += pad->after_bytes;
    }
}

/* ---- addition ------------------------------------------------------------------------------------------------- */

/* No shift is positive (the check), so that there is no branch: a PC's vector registers serve the loop. */
static inline int32_t scale_sum(int32_t value, int32_t multiplier, int32_t shift)
{
    return kws_divide_by_power_of_two(kws_high_multiply(value, multiplier), -shift);
}

KWS_VECTORISED static void add_run(const kws_add_t *add, const int8_t *first, const int8_t *second, int8_t *y)
{
    const kws_add_t by = *add;
    int32_t i;
    KWS_ROLLED
    for (i = 0; i < by.values; ++i) {
        const int32_t one = (first[i] - by.first_zero_point) * (INT32_C(1) << KWS_ADD_SHIFT);
        const int32_t other = (second[i] - by.second_zero_point) * (INT32_C(1) << KWS_ADD_SHIFT);
        const int32_t sum = scale_sum(one, by.first_multiplier, by.first_shift) +
                            scale_sum(other, by.second_multiplier, by.second_shift);
        const int32_t value = scale_sum(sum, by.output_multiplier, by.output_shift);
        y[i] = kws_add_and_clamp(value, by.output_zero_point, by.output_minimum, by.output_maximum);
    }
}

void kws_run_add(const kws_add_t *add, int8_t *arena)
{
    const int8_t *first = arena + add->first;
    const int8_t *second = arena + add->second;
    int8_t *y = arena + add->output;
    int32_t row;
    int32_t repeat;
    for (row = 0; row < add->rows; ++row) {
        for (repeat = 0; repeat < add->repeats; ++repeat) {
            add_run(add, first, second, y);
            first += add->values;
            y += add->values;
        }
        second += add->values;
    }
}

/* ---- pooling -------------------------------------------------------------------------------------------------- */

typedef void pool_position_t(const kws_pool2d_t *pool, const int8_t *x, int8_t *y);

KWS_SMALL static void max_position(const kws_pool2d_t *pool, const int8_t *x, int8_t *y)
{
    int32_t i;
    int32_t j;
    int32_t c;
    for (c = 0; c < pool->channels; ++c) {
        y[c] = x[c]; /* y may be x */
    }
    for (i = 0; i < pool->window_time; ++i) {
        for (j = 0; j < pool->window_frequency; ++j) {
            const int8_t *values = x + (ptrdiff_t)i * pool->row_bytes + (ptrdiff_t)j * pool->channels;
            for (c = 0; c < pool->channels; ++c) {
                y[c] = values[c] > y[c] ? values[c] : y[c];
            }
        }
    }
}

/* Sums of `count` (at most KWS_BLOCK) channels over the window that starts at x. */
KWS_SMALL KWS_VECTORISED static void window_sums(const kws_pool2d_t *pool, const int8_t *x, int32_t count,
                                                 int32_t *restrict sums)
{
    int32_t i;
    int32_t j;
    int32_t c;
    KWS_ROLLED
    for (c = 0; c < count; ++c) {
        sums[c] = 0;
    }
    for (i = 0; i < pool->window_time; ++i) {
        for (j = 0; j < pool->window_frequency; ++j) {
            const int8_t *values = x + (ptrdiff_t)i * pool->row_bytes + (ptrdiff_t)j * pool->channels;
            KWS_ROLLED
            for (c = 0; c < count; ++c) {
                sums[c] += values[c];
            }
        }
    }
}

KWS_SMALL static void average_position(const kws_pool2d_t *pool, const int8_t *x, int8_t *y)
{
    const int32_t values = pool->window_time * pool->window_frequency;
    int32_t sums[KWS_BLOCK];
    int32_t first;
    for (first = 0; first < pool->channels; first += KWS_BLOCK) {
        const int32_t count = pool->channels - first < KWS_BLOCK ? pool->channels - first : KWS_BLOCK;
        int32_t c;
        window_sums(pool, x + first, count, sums);
        for (c = 0; c < count; ++c) {
            const int32_t half = sums[c] > 0 ? values / 2 : -(values / 2);
            y[first + c] = (int8_t)((sums[c] + half) / values);
        }
    }
}

KWS_SMALL static KWS_NOT_INLINE void run_pool2d(const kws_pool2d_t *pool, int8_t *arena, pool_position_t *position)
{
    int8_t *y = arena + pool->output;
    int32_t time;
    int32_t frequency;
    for (time = 0; time < pool->output_time; ++time) {
        const int8_t *x = arena + pool->input + (ptrdiff_t)time * pool->window_time * pool->row_bytes;
        for (frequency = 0; frequency < pool->output_frequency; ++frequency) {
            position(pool, x, y);
            x += (ptrdiff_t)pool->window_frequency * pool->channels;
            y += pool->channels;
        }
    }
}

KWS_SMALL void kws_run_max_pool2d(const kws_pool2d_t *pool, int8_t *arena)
{
    run_pool2d(pool, arena, max_position);
}

KWS_SMALL void kws_run_average_pool2d(const kws_pool2d_t *pool, int8_t *arena)
{
    run_pool2d(pool, arena, average_position);
}

/* ---- the checks ----------------------------------------------------------------------------------------------- */

KWS_SMALL int32_t kws_check_pad(const kws_graph_t *graph, const kws_pad_t *pad)
{
    const uint64_t inputs = kws_product(pad->rows, pad->row_bytes);
    const uint64_t outputs =
        kws_product(pad->rows, pad->before_bytes) + inputs + kws_product(pad->rows, pad->after_bytes);
    if (pad->rows < 1 || pad->row_bytes < 1) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!kws_is_int8(pad->zero_point)) {
        return KWS_GRAPH_VALUES;
    }
    if (pad->before_bytes < 0 || pad->after_bytes < 0 || !kws_inside(graph, pad->input, inputs) ||
        !kws_inside(graph, pad->output, outputs)) {
        return KWS_GRAPH_BOUNDS;
    }
    /* A row is copied whole: the output must not lie over the input. */
    if ((uint64_t)pad->output < (uint64_t)pad->input + inputs &&
        (uint64_t)pad->input < (uint64_t)pad->output + outputs) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

KWS_SMALL int32_t kws_check_add(const kws_graph_t *graph, const kws_add_t *add)
{
    const uint64_t runs = kws_product(add->rows, add->repeats);
    if (add->rows < 1 || add->repeats < 1 || add->values < 1) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!kws_is_int8(add->first_zero_point) || !kws_is_int8(add->second_zero_point) ||
        !kws_is_output(add->output_zero_point, add->output_minimum, add->output_maximum) ||
        !kws_is_multiplier(add->first_multiplier, add->first_shift, 0) ||
        !kws_is_multiplier(add->second_multiplier, add->second_shift, 0) ||
        !kws_is_multiplier(add->output_multiplier, add->output_shift, 0)) {
        return KWS_GRAPH_VALUES;
    }
    if (!kws_fits(graph, runs) || !kws_inside(graph, add->first, runs * (uint64_t)add->values) ||
        !kws_inside(graph, add->second, kws_product(add->rows, add->values)) ||
        !kws_inside(graph, add->output, runs * (uint64_t)add->values)) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

KWS_SMALL int32_t kws_check_max_pool2d(const kws_graph_t *graph, const kws_pool2d_t *pool)
{
    const uint64_t rows = kws_product(pool->output_time, pool->window_time);
    const uint64_t columns = kws_product(pool->output_frequency, pool->window_frequency);
    const uint64_t positions = kws_product(pool->output_time, pool->output_frequency);
    const uint64_t channels = (uint64_t)pool->channels;
    if (pool->output_time < 1 || pool->output_frequency < 1 || pool->channels < 1 || pool->window_time < 1 ||
        pool->window_frequency < 1 || pool->row_bytes < 1) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!kws_fits(graph, rows) || !kws_fits(graph, columns) || !kws_fits(graph, positions) ||
        !kws_inside(graph, pool->input, (rows - 1u) * (uint64_t)pool->row_bytes + columns * channels) ||
        !kws_inside(graph, pool->output, positions * channels)) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

KWS_SMALL int32_t kws_check_average_pool2d(const kws_graph_t *graph, const kws_pool2d_t *pool)
{
    const int32_t error = kws_check_max_pool2d(graph, pool);
    if (error == KWS_GRAPH_OK && kws_product(pool->window_time, pool->window_frequency) > KWS_LARGEST_WINDOW) {
        return KWS_GRAPH_VALUES;
    }
    return error;
}
