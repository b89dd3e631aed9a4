#include "ops.h"

#include <stddef.h>
#include <string.h>

/* Output channels computed together, so that one reading of the input serves them all. */
#define KWS_CHANNELS 4

/* On a PC the compiler makes the dot product's loop for several widths of vector registers, and the best one is chosen
 * when the program starts. On a device the plain loop is compiled once. */
#if defined(KWS_HOST) && defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define KWS_VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KWS_VECTORISED
#endif

/* The rounding doubling high multiply: ties up. (A division truncates towards zero; a right shift of a negative number
 * would be the compiler's choice.) */
static int32_t high_multiply(int32_t value, int32_t multiplier)
{
    const int64_t product = (int64_t)value * multiplier;
    const int64_t nudge = product >= 0 ? INT64_C(1) << 30 : 1 - (INT64_C(1) << 30);
    return (int32_t)((product + nudge) / (INT64_C(1) << 31));
}

/* The rounding right shift: ties away from zero. */
static int32_t divide_by_power_of_two(int32_t value, int32_t exponent)
{
    const int64_t half = (INT64_C(1) << exponent) >> 1;
    const int64_t magnitude = value < 0 ? -(int64_t)value : (int64_t)value;
    const int64_t rounded = (magnitude + half) >> exponent;
    return (int32_t)(value < 0 ? -rounded : rounded);
}

int32_t kws_requantize(int32_t value, int32_t multiplier, int32_t shift)
{
    if (shift > 0) {
        return high_multiply((int32_t)(value * (INT64_C(1) << shift)), multiplier);
    }
    return divide_by_power_of_two(high_multiply(value, multiplier), -shift);
}

static int8_t clamp(int32_t value, int32_t minimum, int32_t maximum)
{
    return (int8_t)(value < minimum ? minimum : value > maximum ? maximum : value);
}

void kws_quantize_features(const kws_graph_t *graph, const int16_t *lfbe, int32_t count, int8_t *features)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        const int32_t value = kws_requantize(lfbe[i], graph->input_multiplier, graph->input_shift);
        features[i] = clamp(value + graph->input_zero_point, -128, 127);
    }
}

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
            const int32_t value = kws_requantize(sums[c], conv->multipliers[first + c], conv->shifts[first + c]);
            y[first + c] = clamp(value + conv->output_zero_point, conv->output_minimum, conv->output_maximum);
        }
        first += channels;
    }
}

static void run_conv2d(const kws_conv2d_t *conv, int8_t *arena)
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

static void run_op(const kws_op_t *op, int8_t *arena)
{
    if (op->kind == KWS_OP_CONV2D) {
        run_conv2d((const kws_conv2d_t *)op->fields, arena);
    } else if (op->kind == KWS_OP_COPY) {
        const kws_copy_t *copy = (const kws_copy_t *)op->fields;
        memmove(arena + copy->target, arena + copy->source, (size_t)copy->bytes);
    }
}

void kws_graph_reset(const kws_graph_t *graph, int8_t *arena)
{
    int32_t i;
    for (i = 0; i < graph->state_count; ++i) {
        const kws_state_t *state = &graph->states[i];
        memset(arena + state->offset, (int)state->zero_point, (size_t)state->bytes);
    }
}

void kws_graph_step(const kws_graph_t *graph, int8_t *arena)
{
    int32_t i;
    for (i = 0; i < graph->op_count; ++i) {
        run_op(&graph->ops[i], arena);
    }
}

void kws_graph_run(const kws_graph_t *graph, int8_t *arena, const int8_t *features, int32_t steps, int8_t *logits)
{
    const size_t taken = (size_t)graph->stride * (size_t)graph->bands;
    const size_t given = (size_t)graph->outputs;
    int32_t step;
    for (step = 0; step < steps; ++step) {
        memcpy(arena + graph->input, features, taken);
        kws_graph_step(graph, arena);
        memcpy(logits, arena + graph->output, given);
        features += taken;
        logits += given;
    }
}

/* ---- the check ------------------------------------------------------------------------------------------------ */

static int inside(const kws_graph_t *graph, int64_t offset, int64_t bytes)
{
    return offset >= 0 && bytes >= 1 && bytes <= graph->arena_bytes && offset <= graph->arena_bytes - bytes;
}

static int is_int8(int32_t value)
{
    return value >= -128 && value <= 127;
}

static int is_multiplier(int32_t multiplier, int32_t shift, int32_t largest_shift)
{
    return multiplier >= 0 && shift >= -31 && shift <= largest_shift;
}

static int32_t check_copy(const kws_graph_t *graph, const kws_copy_t *copy)
{
    const int fits = inside(graph, copy->source, copy->bytes) && inside(graph, copy->target, copy->bytes);
    return fits ? KWS_GRAPH_OK : KWS_GRAPH_BOUNDS;
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

static int32_t check_conv2d(const kws_graph_t *graph, const kws_conv2d_t *conv)
{
    int32_t c;
    if (conv->output_time < 1 || conv->output_frequency < 1 || conv->output_channels < 1 || conv->runs < 1 ||
        conv->run_bytes < 1 || !conv->weights || !conv->bias || !conv->multipliers || !conv->shifts) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!is_int8(conv->output_zero_point) || !is_int8(conv->output_minimum) || !is_int8(conv->output_maximum) ||
        conv->output_minimum > conv->output_maximum) {
        return KWS_GRAPH_VALUES;
    }
    for (c = 0; c < conv->output_channels; ++c) {
        if (!is_multiplier(conv->multipliers[c], conv->shifts[c], 30)) {
            return KWS_GRAPH_VALUES;
        }
    }
    return check_conv2d_bounds(graph, conv);
}

static int32_t check_op(const kws_graph_t *graph, const kws_op_t *op)
{
    if (!op->fields) {
        return KWS_GRAPH_INCOMPLETE;
    }
    switch (op->kind) {
    case KWS_OP_COPY:
        return check_copy(graph, (const kws_copy_t *)op->fields);
    case KWS_OP_CONV2D:
        return check_conv2d(graph, (const kws_conv2d_t *)op->fields);
    default:
        return KWS_GRAPH_KIND;
    }
}

static int32_t check_ends(const kws_graph_t *graph)
{
    if (graph->arena_bytes < 1 || graph->stride < 1 || graph->bands < 1 || graph->outputs < 1 || graph->op_count < 0 ||
        graph->state_count < 0 || (graph->op_count > 0 && !graph->ops) || (graph->state_count > 0 && !graph->states)) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!is_multiplier(graph->input_multiplier, graph->input_shift, 15) || !is_int8(graph->input_zero_point)) {
        return KWS_GRAPH_VALUES;
    }
    if (!inside(graph, graph->input, (int64_t)graph->stride * graph->bands) ||
        !inside(graph, graph->output, graph->outputs)) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

static int32_t check_state(const kws_graph_t *graph, const kws_state_t *state)
{
    if (!is_int8(state->zero_point)) {
        return KWS_GRAPH_VALUES;
    }
    return inside(graph, state->offset, state->bytes) ? KWS_GRAPH_OK : KWS_GRAPH_BOUNDS;
}

int32_t kws_graph_check(const kws_graph_t *graph)
{
    int32_t error = check_ends(graph);
    int32_t i;
    for (i = 0; error == KWS_GRAPH_OK && i < graph->state_count; ++i) {
        error = check_state(graph, &graph->states[i]);
    }
    for (i = 0; error == KWS_GRAPH_OK && i < graph->op_count; ++i) {
        error = check_op(graph, &graph->ops[i]);
    }
    return error;
}
