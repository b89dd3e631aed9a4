/* Convolutions: the inputs under a position are widened to 16 bits once, then every output channel's weights meet
 * them, two or four channels at a time. kws/graph/layout.py says how the weights lie, and why. */
#include <stddef.h>

#include "dsp.h"
#include "ops_kernels.h"
#include "ops_scale.h"

/* Inputs in a group: bytes 0, 2, 1, 3 of a word. */
#define KWS_INPUTS 4

/* ---- inputs --------------------------------------------------------------------------------------------------- */

/* Four inputs from anywhere, widened, in the order 0, 2, 1, 3. */
static inline void widen_group(const int8_t *x, int16_t *inputs)
{
#ifdef KWS_DSP
    const uint32_t bytes = load_word(x);
    STORE_TWO(widen_even(bytes), widen_odd(bytes), inputs);
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

/* ---- sums ----------------------------------------------------------------------------------------------------- */

/* sum + part / 2^bits, the part being a multiple. */
static inline int32_t add_part(int32_t sum, int32_t part, int32_t bits)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(part >> bits));
}

/* Of a row of 4-bit weights: the products with all 16 bits, 16 times those with the low 12, those with the low 8, 4096
 * times those with the low 4. */
typedef struct {
    int32_t sixteen;
    int32_t twelve;
    int32_t eight;
    int32_t four;
} parts_t;

/* base + the sums of the row's four channels. */
static inline void add_quad(parts_t parts, const int32_t *base, int32_t *sums)
{
    const int32_t twelve = add_part(0, parts.twelve, 4);
    const int32_t four = add_part(0, parts.four, 12);
    sums[0] = add_part(base[0], parts.sixteen - twelve, 12);
    sums[1] = add_part(base[1], twelve - parts.eight, 8);
    sums[2] = add_part(base[2], parts.eight - four, 4);
    sums[3] = add_part(base[3], four, 0);
}

/* dot_pairs and dot_quads: sums = base [two or four a row] + the products of `count` inputs, groups of four, with the first
 * `count` weights of each row of 8-bit or 4-bit weights. */

#ifdef KWS_DSP

/* The inner loops are written out: compilers keep some of so many values in memory. A group of inputs by two rows of
 * 8-bit weights: a word of weights meets its two inputs whole, then with its low bytes alone. */
#define PAIRS_OF_A_GROUP               \
    "ldrd %[x0], %[x1], [%[x]], #8\n"  \
    "ldrd %[w0], %[w1], [%[w]], #8\n"  \
    "smlad %[b0], %[x0], %[w0], %[b0]\n" \
    "sxtb16 %[w0], %[w0]\n"            \
    "smlad %[o1], %[x0], %[w0], %[o1]\n" \
    "smlad %[b0], %[x1], %[w1], %[b0]\n" \
    "sxtb16 %[w1], %[w1]\n"            \
    "smlad %[o1], %[x1], %[w1], %[o1]\n" \
    "ldrd %[w0], %[w1], [%[v]], #8\n"  \
    "smlad %[b2], %[x0], %[w0], %[b2]\n" \
    "sxtb16 %[w0], %[w0]\n"            \
    "smlad %[o3], %[x0], %[w0], %[o3]\n" \
    "smlad %[b2], %[x1], %[w1], %[b2]\n" \
    "sxtb16 %[w1], %[w1]\n"            \
    "smlad %[o3], %[x1], %[w1], %[o3]\n"

static NOT_INLINE void dot_pairs(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs,
                                 int32_t rows, const int32_t *base, int32_t *sums)
{
    const int16_t *end = inputs + count;
    for (; rows > 0; rows -= 2) {
        const int16_t *x = inputs;
        const int16_t *first = weights;
        const int16_t *second = rows > 1 ? weights + row_inputs : weights; /* the last of an odd number is its own partner */
        uint32_t both0 = 0;
        uint32_t both2 = 0;
        uint32_t odd1 = 0;
        uint32_t odd3 = 0;
        uint32_t x0 = (uint32_t)count;
        uint32_t x1, w0, w1;
        int32_t sum0, sum1, sum2, sum3;
        weights = second + row_inputs;
        /* two groups in a round; an odd number of them starts with the second one */
        __asm__ volatile("tst %[x0], #4\n"
                         "bne 2f\n"
                         "1:\n" PAIRS_OF_A_GROUP "2:\n" PAIRS_OF_A_GROUP "cmp %[x], %[end]\n"
                         "blo 1b\n"
                         : [x] "+&r"(x), [w] "+&r"(first), [v] "+&r"(second), [b0] "+&r"(both0), [o1] "+&r"(odd1),
                           [b2] "+&r"(both2), [o3] "+&r"(odd3), [x0] "+&r"(x0), [x1] "=&r"(x1), [w0] "=&r"(w0),
                           [w1] "=&r"(w1)
                         : [end] "r"(end)
                         : "cc", "memory");
        LOAD_TWO(sum0, sum1, base);
        LOAD_TWO(sum2, sum3, base);
        STORE_TWO(add_part(sum0, (int32_t)(both0 - odd1), 8), add_part(sum1, (int32_t)odd1, 0), sums);
        STORE_TWO(add_part(sum2, (int32_t)(both2 - odd3), 8), add_part(sum3, (int32_t)odd3, 0), sums);
    }
}

/* A group of inputs by a row of 4-bit weights: a word meets its two inputs whole, with the low 12 bits of each half,
 * with the low 8, and with the low 4. */
#define QUADS_OF_TWO_INPUTS(x)            \
    "ldr %[w0], [%[w]], #4\n"             \
    "smlad %[all], " x ", %[w0], %[all]\n" \
    "and %[t], %[m12], %[w0], lsl #4\n"   \
    "smlad %[b3], " x ", %[t], %[b3]\n"    \
    "sxtb16 %[t], %[w0]\n"                \
    "smlad %[b2], " x ", %[t], %[b2]\n"    \
    "and %[t], %[m4], %[w0], lsl #12\n"   \
    "smlad %[b1], " x ", %[t], %[b1]\n"

#define QUADS_OF_A_GROUP "ldrd %[x0], %[x1], [%[x]], #8\n" QUADS_OF_TWO_INPUTS("%[x0]") QUADS_OF_TWO_INPUTS("%[x1]")

static NOT_INLINE void dot_quads(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs,
                                 int32_t rows, const int32_t *base, int32_t *sums)
{
    for (; rows > 0; --rows) {
        const int16_t *x = inputs;
        const int16_t *w = weights;
        /* the mask of the low 4 bits meets zeros below: there the rounds of four groups are counted */
        uint32_t lowest = UINT32_C(0xF000F000) + ((uint32_t)count + 3 * KWS_INPUTS) / (4 * KWS_INPUTS);
        parts_t parts = {0, 0, 0, 0};
        uint32_t x0 = (uint32_t)count;
        uint32_t x1, w0, t;
        weights += row_inputs;
        /* the first round has as many groups as remain beside whole ones: 4 * groups mod 16 goes to carry and sign */
        __asm__ volatile("lsls %[x1], %[x0], #29\n"
                         "bcs 5f\n"
                         "bmi 4f\n"
                         "b 1f\n"
                         "5: bmi 2f\n"
                         "b 3f\n"
                         "1:\n" QUADS_OF_A_GROUP "2:\n" QUADS_OF_A_GROUP "3:\n" QUADS_OF_A_GROUP
                         "4:\n" QUADS_OF_A_GROUP "sub %[m4], #1\n"
                         "tst %[m4], #255\n"
                         "bne 1b\n"
                         : [x] "+&r"(x), [w] "+&r"(w), [all] "+&r"(parts.sixteen), [b3] "+&r"(parts.twelve),
                           [b2] "+&r"(parts.eight), [b1] "+&r"(parts.four), [x0] "+&r"(x0), [x1] "=&r"(x1),
                           [w0] "=&r"(w0), [t] "=&r"(t), [m4] "+&r"(lowest)
                         : [m12] "r"(UINT32_C(0xFFF0FFF0))
                         : "cc", "memory");
        add_quad(parts, base, sums);
        base += 4;
        sums += 4;
    }
}

#else

/* sums[0 .. 1] = base[0 .. 1] + the products of the inputs with a row. */
KWS_VECTORISED static void dot_pair(const int16_t *restrict inputs, int32_t count, const int16_t *restrict weights,
                                    const int32_t *base, int32_t *restrict sums)
{
    int32_t both = 0;
    int32_t odd = 0;
    int32_t i;
    ROLLED
    for (i = 0; i < count; ++i) {
        both += inputs[i] * weights[i];
        odd += inputs[i] * (int16_t)(int8_t)weights[i];
    }
    sums[0] = add_part(base[0], both - odd, 8);
    sums[1] = add_part(base[1], odd, 0);
}

static void dot_pairs(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                      const int32_t *base, int32_t *sums)
{
    for (; rows > 0; --rows) {
        dot_pair(inputs, count, weights, base, sums);
        weights += row_inputs;
        base += 2;
        sums += 2;
    }
}

KWS_VECTORISED static parts_t dot_row(const int16_t *restrict inputs, int32_t count, const int16_t *restrict weights)
{
    parts_t parts = {0, 0, 0, 0};
    int32_t sixteen = 0;
    int32_t twelve = 0;
    int32_t eight = 0;
    int32_t four = 0;
    int32_t i;
    ROLLED
    for (i = 0; i < count; ++i) {
        const uint32_t bits = (uint16_t)weights[i];
        sixteen += inputs[i] * weights[i];
        twelve += inputs[i] * (int16_t)(uint16_t)(bits << 4);
        eight += inputs[i] * (int16_t)(int8_t)bits;
        four += inputs[i] * (int16_t)(uint16_t)(bits << 12);
    }
    parts.sixteen = sixteen;
    parts.twelve = twelve;
    parts.eight = eight;
    parts.four = four;
    return parts;
}

static void dot_quads(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                      const int32_t *base, int32_t *sums)
{
    for (; rows > 0; --rows) {
        add_quad(dot_row(inputs, count, weights), base, sums);
        weights += row_inputs;
        base += 4;
        sums += 4;
    }
}

#endif

/* ---- the operator --------------------------------------------------------------------------------------------- */

static void conv2d_position(const kws_conv2d_t *conv, const int8_t *x, int32_t *sums, int8_t *y)
{
    const scaling_t scaling = {conv->multipliers,    conv->right_shifts,   conv->output_zero_point,
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
            dot_quads(inputs, count, conv->weights + begin, conv->row_inputs, conv->rows, base, sums);
        } else {
            dot_pairs(inputs, count, conv->weights + begin, conv->row_inputs, conv->rows, base, sums);
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

SMALL static int32_t check_bounds(const kws_graph_t *graph, const kws_conv2d_t *conv)
{
    /* Products of two int32 are below 2^62; the first test keeps the sums of them below 2^63. */
    const int64_t columns = (int64_t)conv->output_time * conv->output_frequency;
    const int64_t inputs = (int64_t)conv->runs * conv->run_bytes;
    const int64_t sums = ((int64_t)conv->output_channels + 3) / 4 * 4;
    int64_t last;
    if (conv->step_time < 0 || conv->step_frequency < 0 || conv->run_step < 0 || columns > graph->arena_bytes ||
        inputs > INT32_MAX - 3) {
        return KWS_GRAPH_BOUNDS;
    }
    last = (int64_t)(conv->output_time - 1) * conv->step_time +
           (int64_t)(conv->output_frequency - 1) * conv->step_frequency + (int64_t)(conv->runs - 1) * conv->run_step;
    if (!inside(graph, conv->input, last + conv->run_bytes) ||
        !inside(graph, conv->output, columns * conv->output_channels) || (conv->scratch & 3) != 0 ||
        !inside(graph, conv->scratch, 4 * sums + 2 * (int64_t)(conv->row_inputs < KWS_CONV_BLOCK ? conv->row_inputs : KWS_CONV_BLOCK))) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

/* Are there as many weights as the loops read? */
SMALL static int are_rows(const kws_conv2d_t *conv)
{
    const int32_t together = conv->weight_bits == 4 ? 4 : 2;
    return (conv->weight_bits == 8 || conv->weight_bits == 4) &&
           conv->rows == (conv->output_channels - 1) / together + 1 &&
           conv->row_inputs == (conv->runs * conv->run_bytes + 3) / 4 * 4 && is_aligned(conv->weights);
}

SMALL int32_t kws_check_conv2d(const kws_graph_t *graph, const kws_conv2d_t *conv)
{
    if (conv->output_time < 1 || conv->output_frequency < 1 || conv->output_channels < 1 || conv->runs < 1 ||
        conv->run_bytes < 1 || !conv->weights || !conv->bias || !conv->multipliers || !conv->right_shifts) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!is_output(conv->output_zero_point, conv->output_minimum, conv->output_maximum)) {
        return KWS_GRAPH_VALUES;
    }
    if (check_bounds(graph, conv) != KWS_GRAPH_OK) {
        return KWS_GRAPH_BOUNDS;
    }
    if (!are_rows(conv)) {
        return KWS_GRAPH_VALUES;
    }
    return are_scales(conv->multipliers, conv->right_shifts, conv->output_channels, conv->plain, conv->output_minimum,
                      conv->output_maximum)
               ? KWS_GRAPH_OK
               : KWS_GRAPH_VALUES;
}
