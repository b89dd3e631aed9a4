#include "ops_kernels.h"

#include <stddef.h>
#include <string.h>

/* Output channels computed together, so that one reading of the input serves them all. */
#define KWS_CHANNELS 4

/* Channels of a depthwise convolution computed together: so few and so fixed that vector registers serve them. */
#define KWS_GROUP 8

/* ---- convolution ---------------------------------------------------------------------------------------------- */

/* sums[c] += the dot product of x [length] and w + c * row [length], for KWS_CHANNELS channels. */
KWS_VECTORISED static void dot_channels(const int8_t *restrict x, const int8_t *restrict w, int32_t row,
                                        int32_t length, int32_t *restrict sums)
{
    const int8_t *w1 = w + row;
    const int8_t *w2 = w1 + row;
    const int8_t *w3 = w2 + row;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    int32_t i;
    for (i = 0; i < length; ++i) {
        const int16_t value = x[i];
        sum0 += value * (int16_t)w[i];
        sum1 += value * (int16_t)w1[i];
        sum2 += value * (int16_t)w2[i];
        sum3 += value * (int16_t)w3[i];
    }
    sums[0] += sum0;
    sums[1] += sum1;
    sums[2] += sum2;
    sums[3] += sum3;
}

KWS_VECTORISED static int32_t dot(const int8_t *restrict x, const int8_t *restrict w, int32_t length)
{
    int32_t sum = 0;
    int32_t i;
    for (i = 0; i < length; ++i) {
        sum += (int16_t)x[i] * (int16_t)w[i];
    }
    return sum;
}

/* Sums of `channels` (KWS_CHANNELS or 1) output channels from `first` on, at the output position whose input
 * starts at x. */
static void conv2d_sums(const kws_conv2d_t *conv, const int8_t *x, int32_t first, int32_t channels, int32_t *sums)
{
    const int32_t row = conv->runs * conv->run_bytes;
    const int8_t *w = conv->weights + (ptrdiff_t)first * row;
    int32_t run;
    memcpy(sums, conv->bias + first, (size_t)channels * sizeof(int32_t));
    for (run = 0; run < conv->runs; ++run) {
        if (channels == KWS_CHANNELS) {
            dot_channels(x, w, row, conv->run_bytes, sums);
        } else {
            sums[0] += dot(x, w, conv->run_bytes);
        }
        x += conv->run_step;
        w += conv->run_bytes;
    }
}

static void conv2d_position(const kws_conv2d_t *conv, const int8_t *x, int8_t *y)
{
    int32_t sums[KWS_CHANNELS];
    int32_t first = 0;
    while (first < conv->output_channels) {
        const int32_t channels = conv->output_channels - first >= KWS_CHANNELS ? KWS_CHANNELS : 1;
        int32_t c;
        conv2d_sums(conv, x, first, channels, sums);
        for (c = 0; c < channels; ++c) {
            const int32_t value = requantize(sums[c], conv->multipliers[first + c], conv->shifts[first + c]);
            y[first + c] = clamp(value + conv->output_zero_point, conv->output_minimum, conv->output_maximum);
        }
        first += channels;
    }
}

void kws_run_conv2d(const kws_conv2d_t *conv, int8_t *arena)
{
    int8_t *y = arena + conv->output;
    int32_t time;
    int32_t frequency;
    for (time = 0; time < conv->output_time; ++time) {
        const int8_t *x = arena + conv->input + (ptrdiff_t)time * conv->step_time;
        for (frequency = 0; frequency < conv->output_frequency; ++frequency) {
            conv2d_position(conv, x, y);
            x += conv->step_frequency;
            y += conv->output_channels;
        }
    }
}

/* ---- depthwise convolution ------------------------------------------------------------------------------------ */

/* Sums of `channels` (KWS_GROUP or 1) channels from `first` on, at the output position whose input starts at x. */
static inline void depthwise_sums(const kws_depthwise_conv2d_t *conv, const int8_t *x, int32_t first,
                                  int32_t channels, int32_t *result)
{
    int32_t sums[KWS_GROUP];
    int32_t i;
    int32_t j;
    int32_t c;
    memcpy(sums, conv->bias + first, (size_t)channels * sizeof(int32_t));
    for (i = 0; i < conv->kernel_time; ++i) {
        for (j = 0; j < conv->kernel_frequency; ++j) {
            const int32_t column = j * conv->channels + first;
            const int8_t *values = x + (ptrdiff_t)i * conv->kernel_step + column;
            const int8_t *w = conv->weights + (ptrdiff_t)i * conv->kernel_frequency * conv->channels + column;
            for (c = 0; c < channels; ++c) {
                sums[c] += (int16_t)values[c] * (int16_t)w[c];
            }
        }
    }
    memcpy(result, sums, (size_t)channels * sizeof(int32_t));
}

KWS_VECTORISED static void depthwise_group(const kws_depthwise_conv2d_t *conv, const int8_t *x, int32_t first,
                                           int32_t *sums)
{
    depthwise_sums(conv, x, first, KWS_GROUP, sums);
}

static void depthwise_position(const kws_depthwise_conv2d_t *conv, const int8_t *x, int8_t *y)
{
    int32_t sums[KWS_GROUP];
    int32_t first = 0;
    while (first < conv->channels) {
        const int32_t channels = conv->channels - first >= KWS_GROUP ? KWS_GROUP : 1;
        int32_t c;
        if (channels == KWS_GROUP) {
            depthwise_group(conv, x, first, sums);
        } else {
            depthwise_sums(conv, x, first, 1, sums);
        }
        for (c = 0; c < channels; ++c) {
            const int32_t value = requantize(sums[c], conv->multipliers[first + c], conv->shifts[first + c]);
            y[first + c] = clamp(value + conv->output_zero_point, conv->output_minimum, conv->output_maximum);
        }
        first += channels;
    }
}

void kws_run_depthwise_conv2d(const kws_depthwise_conv2d_t *conv, int8_t *arena)
{
    int8_t *y = arena + conv->output;
    int32_t time;
    int32_t frequency;
    for (time = 0; time < conv->output_time; ++time) {
        const int8_t *x = arena + conv->input + (ptrdiff_t)time * conv->step_time;
        for (frequency = 0; frequency < conv->output_frequency; ++frequency) {
            depthwise_position(conv, x + (ptrdiff_t)frequency * conv->step_frequency, y);
            y += conv->channels;
        }
    }
}

/* ---- the checks ----------------------------------------------------------------------------------------------- */

static int are_multipliers(const int32_t *multipliers, const int8_t *shifts, int32_t count)
{
    int32_t c;
    for (c = 0; c < count; ++c) {
        if (!is_multiplier(multipliers[c], shifts[c], 30)) {
            return 0;
        }
    }
    return 1;
}

static int32_t check_conv2d_bounds(const kws_graph_t *graph, const kws_conv2d_t *conv)
{
    /* Products of two int32 are below 2^62; the first test keeps the sums of them below 2^63. */
    const int64_t columns = (int64_t)conv->output_time * conv->output_frequency;
    const int64_t row = (int64_t)conv->runs * conv->run_bytes;
    int64_t last;
    if (conv->step_time < 0 || conv->step_frequency < 0 || conv->run_step < 0 || columns > graph->arena_bytes ||
        row > INT32_MAX) {
        return KWS_GRAPH_BOUNDS;
    }
    last = (int64_t)(conv->output_time - 1) * conv->step_time +
           (int64_t)(conv->output_frequency - 1) * conv->step_frequency + (int64_t)(conv->runs - 1) * conv->run_step;
    if (!inside(graph, conv->input, last + conv->run_bytes) ||
        !inside(graph, conv->output, columns * conv->output_channels)) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

int32_t kws_check_conv2d(const kws_graph_t *graph, const kws_conv2d_t *conv)
{
    if (conv->output_time < 1 || conv->output_frequency < 1 || conv->output_channels < 1 || conv->runs < 1 ||
        conv->run_bytes < 1 || !conv->weights || !conv->bias || !conv->multipliers || !conv->shifts) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!is_output(conv->output_zero_point, conv->output_minimum, conv->output_maximum)) {
        return KWS_GRAPH_VALUES;
    }
    if (check_conv2d_bounds(graph, conv) != KWS_GRAPH_OK) {
        return KWS_GRAPH_BOUNDS;
    }
    return are_multipliers(conv->multipliers, conv->shifts, conv->output_channels) ? KWS_GRAPH_OK : KWS_GRAPH_VALUES;
}

static int32_t check_depthwise_bounds(const kws_graph_t *graph, const kws_depthwise_conv2d_t *conv)
{
    /* As above; the kernel's last row is one run of kernel_frequency * channels bytes. */
    const int64_t columns = (int64_t)conv->output_time * conv->output_frequency;
    const int64_t run_bytes = (int64_t)conv->kernel_frequency * conv->channels;
    int64_t last;
    if (conv->step_time < 0 || conv->step_frequency < 0 || conv->kernel_step < 0 || columns > graph->arena_bytes ||
        run_bytes > graph->arena_bytes) {
        return KWS_GRAPH_BOUNDS;
    }
    last = (int64_t)(conv->output_time - 1) * conv->step_time +
           (int64_t)(conv->output_frequency - 1) * conv->step_frequency +
           (int64_t)(conv->kernel_time - 1) * conv->kernel_step;
    if (!inside(graph, conv->input, last + run_bytes) || !inside(graph, conv->output, columns * conv->channels)) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

int32_t kws_check_depthwise_conv2d(const kws_graph_t *graph, const kws_depthwise_conv2d_t *conv)
{
    if (conv->output_time < 1 || conv->output_frequency < 1 || conv->channels < 1 || conv->kernel_time < 1 ||
        conv->kernel_frequency < 1 || !conv->weights || !conv->bias || !conv->multipliers || !conv->shifts) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!is_output(conv->output_zero_point, conv->output_minimum, conv->output_maximum)) {
        return KWS_GRAPH_VALUES;
    }
    if (check_depthwise_bounds(graph, conv) != KWS_GRAPH_OK) {
        return KWS_GRAPH_BOUNDS;
    }
    return are_multipliers(conv->multipliers, conv->shifts, conv->channels) ? KWS_GRAPH_OK : KWS_GRAPH_VALUES;
}
