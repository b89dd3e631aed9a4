/* Convolutions: the inputs under a position are widened to 16 bits once, then every output channel's weights meet
 * them, two or four channels at a time (ops_dot.c). kws/graph/layout.py says how the weights lie, and why. */
#include <stddef.h>

#include "kws_dsp.h"
#include "kws_ops_kernels.h"
#include "kws_ops_scale.h"

/* ---- inputs --------------------------------------------------------------------------------------------------- */

/* Four inputs from anywhere, widened, in the order 0, 2, 1, 3. */
static inline void widen_group(const int8_t *x, int16_t *inputs)
{
#ifdef KWS_DSP
    const uint32_t bytes = kws_load_word(x);
    KWS_STORE_TWO(kws_widen_even(bytes), kws_widen_odd(bytes), inputs);
#else
    inputs[0] = x[0];
    inputs[1] = x[2];
    inputs[2] = x[1];
    inputs[3] = x[3];
#endif
}

/* `count` more inputs behind the first `at`. */
static void widen_run(const int8_t *x, int32_t count, int32_t at, int16_t *inputs)
{
    const int32_t end = at + count;
    while (at < end) {
        if (at % KWS_INPUTS == 0 && end - at >= KWS_INPUTS) {
            const int32_t groups = (end - at) / KWS_INPUTS;
            int32_t group;
            for (group = 0; group < groups; ++group) {
                widen_group(x, inputs + at);
                x += KWS_INPUTS;
                at += KWS_INPUTS;
            }
        } else {
            inputs[(at & ~3) | ((at & 1) << 1) | ((at >> 1) & 1)] = *x;
            ++x;
            ++at;
        }
    }
}

/* The inputs begin .. begin + count - 1 of the position whose input starts at x; zeros behind them fill the last
 * group. */
static void widen(const kws_conv2d_t *conv, const int8_t *x, int32_t begin, int32_t count, int16_t *inputs)
{
    static const int8_t zeros[KWS_INPUTS] = {0, 0, 0, 0};
    int32_t run = 0;
    int32_t at = 0;
    if (begin >= conv->run_bytes) {
        run = begin / conv->run_bytes;
        begin -= run * conv->run_bytes;
    }
    while (at < count) {
        const int32_t rest = conv->run_bytes - begin;
        const int32_t taken = rest < count - at ? rest : count - at;
        widen_run(x + (ptrdiff_t)run * conv->run_step + begin, taken, at, inputs);
        at += taken;
        begin = 0;
        ++run;
    }
    widen_run(zeros, -at & (KWS_INPUTS - 1), at, inputs);
}

/* ---- the operator --------------------------------------------------------------------------------------------- */

static void conv2d_position(const kws_conv2d_t *conv, const int8_t *x, int32_t *sums, int8_t *y)
{
    const kws_scaling_t scaling = {conv->multipliers,    conv->right_shifts,   conv->output_zero_point,
                                   conv->output_minimum, conv->output_maximum, conv->plain};
    int16_t *inputs = (int16_t *)(void *)(sums + ((conv->output_channels + 3) & ~3));
    const int32_t whole = conv->runs * conv->run_bytes;
    const int32_t *base = conv->bias;
    int32_t begin;
    for (begin = 0; begin < whole; begin += KWS_CONV_BLOCK) {
        const int32_t taken = whole - begin < KWS_CONV_BLOCK ? whole - begin : KWS_CONV_BLOCK;
        const int32_t count = (taken + KWS_INPUTS - 1) & ~(KWS_INPUTS - 1);
        widen(conv, x, begin, taken, inputs);
        if (conv->weight_bits == 4) {
            kws_dot_quads(inputs, count, conv->weights + begin, conv->row_inputs, conv->rows, base, sums);
        } else {
            kws_dot_pairs(inputs, count, conv->weights + begin, conv->row_inputs, conv->rows, base, sums);
        }
        base = sums;
    }
    kws_scale_channels(&scaling, conv->output_channels, sums, y);
}

void kws_run_conv2d(const kws_conv2d_t *conv, int8_t *arena)
{
    int32_t *sums = (int32_t *)(void *)(arena + conv->scratch);
    int8_t *y = arena + conv->output;
    int32_t time;
    int32_t frequency;
    for (time = 0; time < conv->output_time; ++time) {
        const int8_t *x = arena + conv->input + (ptrdiff_t)time * conv->step_time;
        for (frequency = 0; frequency < conv->output_frequency; ++frequency) {
            conv2d_position(conv, x, sums, y);
            x += conv->step_frequency;
            y += conv->output_channels;
        }
    }
}

/* ---- the check ------------------------------------------------------------------------------------------------ */

KWS_SMALL static int32_t check_bounds(const kws_graph_t *graph, const kws_conv2d_t *conv)
{
    const uint64_t positions = kws_product(conv->output_time, conv->output_frequency);
    const uint64_t inputs = kws_product(conv->runs, conv->run_bytes);
    const uint64_t last = kws_span(conv->output_time, conv->step_time) +
                          kws_span(conv->output_frequency, conv->step_frequency) + kws_span(conv->runs, conv->run_step);
    const uint64_t sums = ((uint64_t)conv->output_channels + 3u) / 4u * 4u;
    const uint64_t widened = inputs < KWS_CONV_BLOCK ? (inputs + 3u) / 4u * 4u : KWS_CONV_BLOCK;
    if (conv->step_time < 0 || conv->step_frequency < 0 || conv->run_step < 0 || !kws_fits(graph, positions) ||
        inputs > INT32_MAX - 3) {
        return KWS_GRAPH_BOUNDS;
    }
    if (!kws_inside(graph, conv->input, last + (uint64_t)conv->run_bytes) ||
        !kws_inside(graph, conv->output, positions * (uint64_t)conv->output_channels) || (conv->scratch & 3) != 0 ||
        !kws_inside(graph, conv->scratch, 4u * sums + 2u * widened)) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

/* Are there as many weights as the loops read, and so many as they can count? */
KWS_SMALL static int are_rows(const kws_conv2d_t *conv)
{
    const int32_t together = conv->weight_bits == 4 ? 4 : 2;
    return (conv->weight_bits == 8 || conv->weight_bits == 4) &&
           conv->rows == (conv->output_channels - 1) / together + 1 &&
           conv->row_inputs == (conv->runs * conv->run_bytes + 3) / 4 * 4 &&
           kws_product(conv->rows, conv->row_inputs) <= INT32_MAX / 2 && kws_is_aligned(conv->weights);
}

KWS_SMALL int32_t kws_check_conv2d(const kws_graph_t *graph, const kws_conv2d_t *conv)
{
    if (conv->output_time < 1 || conv->output_frequency < 1 || conv->output_channels < 1 || conv->runs < 1 ||
        conv->run_bytes < 1 || !conv->weights || !conv->bias || !conv->multipliers || !conv->right_shifts) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!kws_is_output(conv->output_zero_point, conv->output_minimum, conv->output_maximum)) {
        return KWS_GRAPH_VALUES;
    }
    if (check_bounds(graph, conv) != KWS_GRAPH_OK) {
        return KWS_GRAPH_BOUNDS;
    }
    if (!are_rows(conv)) {
        return KWS_GRAPH_VALUES;
    }
    return kws_are_scales(conv->multipliers, conv->right_shifts, conv->output_channels, conv->plain,
                          conv->output_minimum, conv->output_maximum)
               ? KWS_GRAPH_OK
               : KWS_GRAPH_VALUES;
}
