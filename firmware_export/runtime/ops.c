#include "kws_ops.h"
#include "kws_ops_kernels.h"

#include <stddef.h>
#include <string.h>

int32_t kws_requantize(int32_t value, int32_t multiplier, int32_t shift)
{
    if (shift > 0) {
        return kws_high_multiply((int32_t)((uint32_t)value << shift), multiplier);
    }
    return kws_divide_by_power_of_two(kws_high_multiply(value, multiplier), -shift);
}

void kws_quantize_features(const kws_graph_t *graph, const int16_t *lfbe, int32_t count, int8_t *features)
{
    int32_t i;
    KWS_ROLLED
    for (i = 0; i < count; ++i) {
        const int32_t value = kws_requantize(lfbe[i], graph->input_multiplier, graph->input_shift);
        features[i] = kws_add_and_clamp(value, graph->input_zero_point, -128, 127);
    }
}

/* The regions may overlap: the bytes go in pieces that do not, as long as the regions are apart, so that memcpy will
 * do; from the end where the target lies above. */
static void run_copy(const kws_copy_t *copy, int8_t *arena)
{
    const int32_t up = copy->target - copy->source;
    const int32_t apart = up < 0 ? -up : up;
    const int32_t piece = apart < copy->bytes ? apart : copy->bytes;
    int32_t left = piece > 0 ? copy->bytes : 0;
    int32_t at = up > 0 ? left : 0;
    while (left > 0) {
        const int32_t count = piece < left ? piece : left;
        at -= up > 0 ? count : 0;
        memcpy(arena + copy->target + at, arena + copy->source + at, (size_t)count);
        at += up > 0 ? 0 : count;
        left -= count;
    }
}

static void run_op(const kws_op_t *op, int8_t *arena)
{
    switch (op->kind) {
    case KWS_OP_COPY:
        run_copy((const kws_copy_t *)op->fields, arena);
        break;
    case KWS_OP_CONV2D:
        kws_run_conv2d((const kws_conv2d_t *)op->fields, arena);
        break;
    case KWS_OP_DEPTHWISE_CONV2D:
        kws_run_depthwise_conv2d((const kws_depthwise_conv2d_t *)op->fields, arena);
        break;
    case KWS_OP_PAD:
        kws_run_pad((const kws_pad_t *)op->fields, arena);
        break;
    case KWS_OP_ADD:
        kws_run_add((const kws_add_t *)op->fields, arena);
        break;
    case KWS_OP_MAX_POOL2D:
        kws_run_max_pool2d((const kws_pool2d_t *)op->fields, arena);
        break;
    case KWS_OP_AVERAGE_POOL2D:
        kws_run_average_pool2d((const kws_pool2d_t *)op->fields, arena);
        break;
    default: /* kws_graph_check refuses any other */
        break;
    }
}

KWS_SMALL void kws_graph_reset(const kws_graph_t *graph, int8_t *arena)
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

KWS_SMALL static int32_t check_copy(const kws_graph_t *graph, const kws_copy_t *copy)
{
    const uint64_t bytes = (uint64_t)copy->bytes;
    return kws_inside(graph, copy->source, bytes) && kws_inside(graph, copy->target, bytes) ? KWS_GRAPH_OK
                                                                                            : KWS_GRAPH_BOUNDS;
}

KWS_SMALL static int32_t check_op(const kws_graph_t *graph, const kws_op_t *op)
{
    if (!op->fields) {
        return KWS_GRAPH_INCOMPLETE;
    }
    switch (op->kind) {
    case KWS_OP_COPY:
        return check_copy(graph, (const kws_copy_t *)op->fields);
    case KWS_OP_CONV2D:
        return kws_check_conv2d(graph, (const kws_conv2d_t *)op->fields);
    case KWS_OP_DEPTHWISE_CONV2D:
        return kws_check_depthwise_conv2d(graph, (const kws_depthwise_conv2d_t *)op->fields);
    case KWS_OP_PAD:
        return kws_check_pad(graph, (const kws_pad_t *)op->fields);
    case KWS_OP_ADD:
        return kws_check_add(graph, (const kws_add_t *)op->fields);
    case KWS_OP_MAX_POOL2D:
        return kws_check_max_pool2d(graph, (const kws_pool2d_t *)op->fields);
    case KWS_OP_AVERAGE_POOL2D:
        return kws_check_average_pool2d(graph, (const kws_pool2d_t *)op->fields);
    default:
        return KWS_GRAPH_KIND;
    }
}

KWS_SMALL static int32_t check_ends(const kws_graph_t *graph)
{
    if (graph->arena_bytes < 1 || graph->stride < 1 || graph->bands < 1 || graph->outputs < 1 || graph->op_count < 0 ||
        graph->state_count < 0 || (graph->op_count > 0 && !graph->ops) || (graph->state_count > 0 && !graph->states)) {
        return KWS_GRAPH_INCOMPLETE;
    }
    if (!kws_is_multiplier(graph->input_multiplier, graph->input_shift, 15) || !kws_is_int8(graph->input_zero_point)) {
        return KWS_GRAPH_VALUES;
    }
    if (!kws_inside(graph, graph->input, kws_product(graph->stride, graph->bands)) ||
        !kws_inside(graph, graph->output, (uint64_t)graph->outputs)) {
        return KWS_GRAPH_BOUNDS;
    }
    return KWS_GRAPH_OK;
}

KWS_SMALL static int32_t check_state(const kws_graph_t *graph, const kws_state_t *state)
{
    if (!kws_is_int8(state->zero_point)) {
        return KWS_GRAPH_VALUES;
    }
    return kws_inside(graph, state->offset, (uint64_t)state->bytes) ? KWS_GRAPH_OK : KWS_GRAPH_BOUNDS;
}

KWS_SMALL int32_t kws_graph_check(const kws_graph_t *graph)
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
