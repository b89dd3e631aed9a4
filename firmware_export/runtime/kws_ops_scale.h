/* From a convolution's sums to its outputs: scaled, rounded, clamped. Not an interface; see kws_ops.h. */
#ifndef KWS_OPS_SCALE_H
#define KWS_OPS_SCALE_H

#include "kws_dsp.h"
#include "kws_ops_kernels.h"

/* What the outputs of a convolution are made with. */
typedef struct {
    const int32_t *multipliers;
    const int8_t *right_shifts;
    int32_t zero_point;
    int32_t minimum;
    int32_t maximum;
    int32_t plain;
} kws_scaling_t;

#ifdef KWS_DSP

/* One output, for a right shift of 2 .. 31 and no clamp but int8's, in a quarter of the instructions of others. Twice
 * the multiplier, taken as a signed number, is 2^32 too low, which the sum itself makes good; with 1 off where it is
 * negative, ties up come to ties away from zero; and a right shift is a multiplication by a power of two, too. */
static inline int8_t kws_scale_prepared(int32_t sum, int32_t twice_multiplier, int32_t power, int32_t zero_point)
{
    const int32_t high = kws_multiply_high(sum, twice_multiplier, sum);
    return (int8_t)kws_saturate_byte(kws_multiply_high(high + (high >> 31), power, zero_point));
}

static inline int8_t kws_scale_plain(int32_t sum, int32_t multiplier, uint32_t right_shift, int32_t zero_point)
{
    return kws_scale_prepared(sum, (int32_t)((uint32_t)multiplier << 1), kws_power_below(right_shift), zero_point);
}

#endif

/* Outputs of the channels 0 .. channels - 1. */
void kws_scale_channels(const kws_scaling_t *scaling, int32_t channels, const int32_t *sums, int8_t *y);

#endif
