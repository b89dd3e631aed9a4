/* The int8 operators of a quantized graph: one streaming step at a time, in an arena of the caller's.
 *
 * C99; no allocation, no floating point, no written globals. Every number equals the one of kws/graph/interpret.py,
 * which defines the arithmetic: int32 accumulators, Q31 multiplier and shift with double rounding (TensorFlow Lite
 * Micro's MultiplyByQuantizedMultiplier).
 *
 * The structs are constants: kws/graph/records.py lists their values in the order of the fields here, for the
 * compiled engine of Python and for the generated model.c alike. An offset is in bytes from the arena's start. */
#ifndef KWS_OPS_H
#define KWS_OPS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What kws_graph_check returns. */
#define KWS_GRAPH_OK 0
#define KWS_GRAPH_INCOMPLETE 1 /* a null pointer, or a count that is not positive */
#define KWS_GRAPH_BOUNDS 2     /* something reaches outside the arena */
#define KWS_GRAPH_KIND 3       /* an operator that this runtime does not know */
#define KWS_GRAPH_VALUES 4     /* a multiplier, shift, zero point or clamp outside its range */

/* kws_op_t.kind, and the struct that kws_op_t.fields points to. */
#define KWS_OP_COPY 0             /* kws_copy_t */
#define KWS_OP_CONV2D 1           /* kws_conv2d_t */
#define KWS_OP_DEPTHWISE_CONV2D 2 /* kws_depthwise_conv2d_t */
#define KWS_OP_PAD 3              /* kws_pad_t */
#define KWS_OP_ADD 4              /* kws_add_t */
#define KWS_OP_MAX_POOL2D 5       /* kws_pool2d_t */
#define KWS_OP_AVERAGE_POOL2D 6   /* kws_pool2d_t */

/* Moves bytes; the two regions may overlap. Concatenation, slices and the hand-over of states come down to this. */
typedef struct {
    int32_t source;
    int32_t target;
    int32_t bytes;
} kws_copy_t;

/* Constants that are read a word at a time where the processor can: KWS_WORDS aligns their arrays for it. */
#if defined(__GNUC__)
#define KWS_WORDS __attribute__((aligned(4)))
#else
#define KWS_WORDS
#endif

/* Valid convolution. The bytes under one output position lie in `runs` contiguous runs of `run_bytes`, `run_step`
 * apart; one run serves when the kernel is as wide as the input. kws/graph/layout.py says how the weights lie: `rows`
 * of `row_inputs` (runs * run_bytes filled up to a multiple of 4), each with the channels of two (8 bits) or four (4
 * bits) outputs. */
typedef struct {
    int32_t input;
    int32_t output;
    int32_t scratch; /* a multiple of 4: int32_t [output_channels], int16_t [row_inputs, at most KWS_CONV_BLOCK] */
    int32_t output_time;
    int32_t output_frequency;
    int32_t output_channels;
    int32_t step_time;      /* bytes from one output row's input to the next one's */
    int32_t step_frequency; /* bytes from one output column's input to the next one's */
    int32_t runs;
    int32_t run_bytes;
    int32_t run_step;
    int32_t weight_bits; /* 8 or 4 */
    int32_t rows;
    int32_t row_inputs;
    int32_t output_zero_point;
    int32_t output_minimum; /* the fused activation: outputs are clamped to minimum .. maximum */
    int32_t output_maximum;
    int32_t plain; /* 1: no clamp but int8's, every multiplier at least 2^30, every right shift 2 .. 31; else 0 */
    const int16_t *weights;     /* [rows][row_inputs], aligned to 4 bytes */
    const int32_t *bias;        /* [output_channels, filled up to a multiple of 4], the input's zero point folded in */
    const int32_t *multipliers; /* [output_channels], Q31, 0 or 2^30 .. 2^31 - 1 */
    const int8_t *right_shifts; /* [output_channels], a left shift where negative, -30 .. 31 */
} kws_conv2d_t;

/* Inputs of a convolution that are widened at once: their products with weights add up to less than 2^31. */
#define KWS_CONV_BLOCK 256

/* Positions of a depthwise convolution from which on it is worth to prepare four channels' constants once for all. */
#define KWS_MANY_POSITIONS 6

/* Valid convolution of each channel by itself. The output may lie where the input begins: a position is written when
 * it is not read any more. The kernel's positions are taken two at a time, of an odd number the first one by itself;
 * kws/graph/layout.py says how the weights lie. */
typedef struct {
    int32_t input;
    int32_t output;
    int32_t scratch; /* a multiple of 4; int32_t [channels], from KWS_MANY_POSITIONS on [12 + 2 * odd + 4 * pairs] */
    int32_t output_time;
    int32_t output_frequency;
    int32_t channels;
    int32_t step_time;      /* bytes from one output row's input to the next one's */
    int32_t step_frequency; /* bytes from one output column's input to the next one's */
    int32_t odd;            /* 1: the kernel's first position comes by itself, else 0 */
    int32_t pairs;          /* of kernel positions, besides */
    int32_t weight_bits;    /* 8 or 4 */
    int32_t output_zero_point;
    int32_t output_minimum; /* the fused activation: outputs are clamped to minimum .. maximum */
    int32_t output_maximum;
    int32_t plain;              /* as in kws_conv2d_t */
    const int32_t *offsets;     /* [2 * pairs + 2], bytes from an output position's input to each pair's, then -1, -1 */
    const int8_t *weights;      /* [channels / 4, rounded up][4 * odd + weight_bits * pairs], aligned to 4 bytes */
    const int32_t *bias;        /* [channels], the input's zero point folded in */
    const int32_t *multipliers; /* [channels], Q31, 0 or 2^30 .. 2^31 - 1 */
    const int8_t *right_shifts; /* [channels], a left shift where negative, -30 .. 31 */
} kws_depthwise_conv2d_t;

/* `rows` rows of `row_bytes` with `zero_point` before and after each. */
typedef struct {
    int32_t input;
    int32_t output;
    int32_t rows;
    int32_t row_bytes;
    int32_t before_bytes;
    int32_t after_bytes;
    int32_t zero_point;
} kws_pad_t;

/* output[row][repeat][value] = first[row][repeat][value] + second[row][value], in real values. Both inputs are shifted
 * left by 20 and scaled, added, and scaled to the output. The output may lie where an input begins. */
typedef struct {
    int32_t first;
    int32_t second;
    int32_t output;
    int32_t rows;
    int32_t repeats;
    int32_t values;
    int32_t first_zero_point;
    int32_t second_zero_point;
    int32_t first_multiplier; /* Q31, 0 or 2^30 .. 2^31 - 1; the shifts are -31 .. 0 */
    int32_t first_shift;
    int32_t second_multiplier;
    int32_t second_shift;
    int32_t output_multiplier;
    int32_t output_shift;
    int32_t output_zero_point;
    int32_t output_minimum; /* the fused activation: outputs are clamped to minimum .. maximum */
    int32_t output_maximum;
} kws_add_t;

/* The largest value of each window, or its mean rounded half away from zero; windows do not overlap. The output may lie
 * where the input begins. */
typedef struct {
    int32_t input;
    int32_t output;
    int32_t output_time;
    int32_t output_frequency;
    int32_t channels;
    int32_t window_time;
    int32_t window_frequency;
    int32_t row_bytes; /* of the input */
} kws_pool2d_t;

typedef struct {
    int32_t kind;
    const void *fields;
} kws_op_t;

/* A region that outlives the step; it starts as `bytes` times `zero_point`, the real value 0. */
typedef struct {
    int32_t offset;
    int32_t bytes;
    int32_t zero_point;
} kws_state_t;

typedef struct {
    int32_t arena_bytes;
    int32_t stride; /* LFBE frames that one step takes */
    int32_t bands;  /* values of a frame */
    int32_t input;  /* where [stride][bands] int8 features go before a step */
    int32_t outputs;
    int32_t output;           /* where [outputs] int8 logits lie after a step */
    int32_t input_multiplier; /* from the LFBE's scale to the input's, Q31 */
    int32_t input_shift;      /* a left shift where positive, -31 .. 15 */
    int32_t input_zero_point;
    int32_t op_count;
    const kws_op_t *ops;
    int32_t state_count;
    const kws_state_t *states; /* may be null when state_count is 0 */
} kws_graph_t;

/* Returns KWS_GRAPH_OK when no step can leave the arena and every value is in its range, else what is wrong.
 * The other functions take a graph that passed. */
int32_t kws_graph_check(const kws_graph_t *graph);

/* Sets every state in `arena` [arena_bytes] to the real value 0. Call it before the first step. */
void kws_graph_reset(const kws_graph_t *graph, int8_t *arena);

/* One step: features at arena + input, logits then at arena + output. */
void kws_graph_step(const kws_graph_t *graph, int8_t *arena);

/* `steps` steps: `features` [steps][stride][bands] in, `logits` [steps][outputs] out. */
void kws_graph_run(const kws_graph_t *graph, int8_t *arena, const int8_t *features, int32_t steps, int8_t *logits);

/* `count` LFBE values to the graph's input quantization. */
void kws_quantize_features(const kws_graph_t *graph, const int16_t *lfbe, int32_t count, int8_t *features);

/* value * multiplier * 2^(shift - 31), rounded twice as the reference kernels do. */
int32_t kws_requantize(int32_t value, int32_t multiplier, int32_t shift);

#ifdef __cplusplus
}
#endif

#endif
