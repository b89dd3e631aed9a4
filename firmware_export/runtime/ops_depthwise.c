/* Depthwise convolutions: two kernel positions and four channels at a time. kws/graph/layout.py says how the weights
 * lie, and why. */
#include <stddef.h>

#include "kws_dsp.h"
#include "kws_ops_kernels.h"
#include "kws_ops_scale.h"

/* Pairs of kernel positions: up to so many the sums fit 32 bits, those of 4-bit weights times 4096. */
#define KWS_LARGEST_PAIRS 32767
#define KWS_LARGEST_PAIRS_OF_NIBBLES 255

/* What this file does of an operator: with KWS_DSP the rest alone. */
#ifdef KWS_DSP
#define REST KWS_SMALL
#undef KWS_VECTORISED
#define KWS_VECTORISED KWS_SMALL KWS_NOT_INLINE
#else
#define REST
#endif

/* ---- sums ----------------------------------------------------------------------------------------------------- */

/* A weight of 4 bits: the low half of a byte, or the high one. */
static inline int32_t nibble(int8_t byte, int32_t high)
{
    return high ? (byte - (byte & 15)) / 16 : ((byte & 15) ^ 8) - 8;
}

/* Channels whose sums are held before they are scaled. */
#define KWS_HELD 16

/* The products of what lies at x with a group of weights at w are added to sums[0 .. channels - 1], at most four. */
static inline void add_nibbles(const kws_depthwise_conv2d_t *conv, const int8_t *x, const int8_t *w, int32_t channels,
                               int32_t *sums)
{
    int32_t pair;
    int32_t c;
    if (conv->odd) {
        for (c = 0; c < channels; ++c) {
            sums[c] += x[c] * nibble(w[c / 2], c & 1);
        }
        w += 4;
    }
    for (pair = 0; pair < conv->pairs; ++pair) {
        const int8_t *one = x + conv->offsets[2 * pair];
        const int8_t *other = x + conv->offsets[2 * pair + 1];
        for (c = 0; c < channels; ++c) {
            sums[c] += one[c] * nibble(w[c / 2], c & 1) + other[c] * nibble(w[c / 2 + 2], c & 1);
        }
        w += 4;
    }
}

static inline void add_bytes(const kws_depthwise_conv2d_t *conv, const int8_t *x, const int8_t *w, int32_t channels,
                             int32_t *sums)
{
    int32_t pair;
    int32_t c;
    if (conv->odd) {
        for (c = 0; c < channels; ++c) {
            sums[c] += (int16_t)x[c] * (int16_t)w[c];
        }
        w += 4;
    }
    for (pair = 0; pair < conv->pairs; ++pair) {
        const int8_t *one = x + conv->offsets[2 * pair];
        const int8_t *other = x + conv->offsets[2 * pair + 1];
        for (c = 0; c < channels; ++c) {
            const int32_t at = (c & 1) + 2 * (c & 2);
            sums[c] += (int16_t)one[c] * (int16_t)w[at] + (int16_t)other[c] * (int16_t)w[at + 2];
        }
        w += 8;
    }
}

/* The same for groups of four, of which the last one may have fewer channels, and a function for each width of
 * weights; a group's sums are so many and so fixed that a vector register serves them. */
KWS_VECTORISED static void add_groups_of_bytes(const kws_depthwise_conv2d_t *conv, const int8_t *x, const int8_t *w,
                                               int32_t channels, int32_t *restrict sums)
{
    const int32_t group_bytes = 4 * conv->odd + 8 * conv->pairs;
    int32_t c;
    for (; channels >= 4; channels -= 4) {
        int32_t four[4] = {sums[0], sums[1], sums[2], sums[3]};
        add_bytes(conv, x, w, 4, four);
        for (c = 0; c < 4; ++c) {
            sums[c] = four[c];
        }
        x += 4;
        w += group_bytes;
        sums += 4;
    }
    add_bytes(conv, x, w, channels, sums);
}

KWS_VECTORISED static void add_groups_of_nibbles(const kws_depthwise_conv2d_t *conv, const int8_t *x, const int8_t *w,
                                                 int32_t channels, int32_t *restrict sums)
{
    const int32_t group_bytes = 4 * conv->odd + 4 * conv->pairs;
    int32_t c;
    for (; channels >= 4; channels -= 4) {
        int32_t four[4] = {sums[0], sums[1], sums[2], sums[3]};
        add_nibbles(conv, x, w, 4, four);
        for (c = 0; c < 4; ++c) {
            sums[c] = four[c];
        }
        x += 4;
        w += group_bytes;
        sums += 4;
    }
    add_nibbles(conv, x, w, channels, sums);
}

/* ---- the operator --------------------------------------------------------------------------------------------- */

/* The channels from `first` on. */
REST static void depthwise_position(const kws_depthwise_conv2d_t *conv, int32_t first, const int8_t *x, int8_t *y)
{
    const int32_t group_bytes = 4 * conv->odd + conv->weight_bits * conv->pairs;
    for (; first < conv->channels; first += KWS_HELD) {
        const kws_scaling_t scaling = {conv->multipliers + first, conv->right_shifts + first, conv->output_zero_point,
                                       conv->output_minimum,      conv->output_maximum,       conv->plain};
        const int8_t *w = conv->weights + (ptrdiff_t)(first / 4) * group_bytes;
        const int32_t channels = conv->channels - first < KWS_HELD ? conv->channels - first : KWS_HELD;
        int32_t sums[KWS_HELD];
        int32_t c;
        for (c = 0; c < channels; ++c) {
            sums[c] = conv->bias[first + c];
        }
        if (conv->weight_bits == 4) {
            add_groups_of_nibbles(conv, x + first, w, channels, sums);
        } else {
            add_groups_of_bytes(conv, x + first, w, channels, sums);
        }
        kws_scale_channels(&scaling, channels, sums, y + first);
    }
}

REST void kws_run_depthwise_conv2d(const kws_depthwise_conv2d_t *conv, int8_t *arena)
{
#ifdef KWS_DSP
    const int32_t first = kws_run_depthwise_groups(conv, arena);
#else
    const int32_t first = 0;
#endif
    int8_t *y = arena + conv->output;
    int32_t time;
    int32_t frequency;
    if (first == conv->channels) {
        return;
    }
    for (time = 0; time < conv->output_time; ++time) {
        const int8_t *x = arena + conv->input + (ptrdiff_t)time * conv->step_time;
        for (frequency = 0; frequency < conv->output_frequency; ++frequency) {
            depthwise_position(conv, first, x, y);
            x += conv->step_frequency;
            y += conv->channels;
        }
    }
}

/* ---- the check ------------------------------------------------------------------------------------------------ */

KWS_SMALL static int32_t check_bounds(const kws_graph_t *graph, const kws_depthwise_conv2d_t *conv)
{
    const uint64_t positions = kws_product(conv->output_time, conv->output_frequency);
    const uint64_t last = kws_span(conv->output_time, conv->step_time) +
                          kws_span(conv->output_frequency, conv->step_frequency) + (uint64_t)conv->channels;
    const int32_t words = positions < KWS_MANY_POSITIONS ? conv->channels : 12 + 2 * conv->odd + 4 * conv->pairs;
    int32_t i;
    if (conv->step_time < 0 || conv->step_frequency < 0 || !kws_fits(graph, positions) ||
        !kws_inside(graph, conv->input, last) || (conv->scratch & 3) != 0 ||
        !kws_inside(graph, conv->scratch, kws_product(4, words))) {
        return KWS_GRAPH_BOUNDS;
    }
    for (i = 0; i < 2 * conv->pairs; ++i) {
        if (conv->offsets[i] < 0 || !kws_inside(graph, conv->input, last + (uint64_t)conv->offsets[i])) {
            return KWS_GRAPH_BOUNDS;
        }
    }
    return conv->offsets[2 * conv->pairs] < 0 && kws_inside(graph, conv->output, positions * (uint64_t)conv->channels)
               ? KWS_GRAPH_OK
               : KWS_GRAPH_BOUNDS;
}

/* Are the weights of a known width, and few enough for the sums? */
KWS_SMALL static int are_weights(const kws_depthwise_conv2d_t *conv)
{
    const int32_t most = conv->weight_bits == 4 ? KWS_LARGEST_PAIRS_OF_NIBBLES : KWS_LARGEST_PAIRS;
    return (conv->weight_bits == 8 || conv->weight_bits == 4) && conv->pairs <= most && kws_is_aligned(conv->weights);
}

/* Has the array of the weights a length that the loops can count? */
KWS_SMALL static int are_countable(const kws_depthwise_conv2d_t *conv)
{
    return kws_product((conv->channels - 1) / 4 + 1, 4 * conv->odd + conv->weight_bits * conv->pairs) <= INT32_MAX;
}

KWS_SMALL int32_t kws_check_depthwise_conv2d(const kws_graph_t *graph, const kws_depthwise_conv2d_t *conv)
{
    if (conv->output_time < 1 || conv->output_frequency < 1 || conv->channels < 1 || conv->pairs < 0 || conv->odd < 0 ||
        conv->odd > 1 || (conv->odd == 0 && conv->pairs == 0) || !conv->offsets || !conv->weights || !conv->bias ||
        !conv->multipliers || !conv->right_shifts) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!kws_is_output(conv->output_zero_point, conv->output_minimum, conv->output_maximum) || !are_weights(conv)) {
        return KWS_GRAPH_VALUES;
    }
    if (check_bounds(graph, conv) != KWS_GRAPH_OK) {
        return KWS_GRAPH_BOUNDS;
    }
    return are_countable(conv) && kws_are_scales(conv->multipliers, conv->right_shifts, conv->channels, conv->plain,
                                                 conv->output_minimum, conv->output_maximum)
               ? KWS_GRAPH_OK
               : KWS_GRAPH_VALUES;
}
