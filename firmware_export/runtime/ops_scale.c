/* Whole rows of outputs. See kws_ops_scale.h. */
#include "kws_ops_scale.h"

#ifdef KWS_DSP

/* Outputs of `groups` times four channels, where they are plain. */
static void scale_plain_groups(const kws_scaling_t *scaling, int32_t groups, const int32_t *sums, int8_t *y)
{
    const int32_t *multipliers = scaling->multipliers;
    const int8_t *right_shifts = scaling->right_shifts;
    const int32_t zero_point = scaling->zero_point;
    const int8_t *end = y + 4 * groups;
    while (y != end) {
        const uint32_t shifts = kws_load_word(right_shifts);
        int32_t sum0, sum1, multiplier0, multiplier1;
        KWS_LOAD_TWO(sum0, sum1, sums);
        KWS_LOAD_TWO(multiplier0, multiplier1, multipliers);
        y[0] = kws_scale_plain(sum0, multiplier0, shifts, zero_point);
        y[1] = kws_scale_plain(sum1, multiplier1, shifts >> 8, zero_point);
        KWS_LOAD_TWO(sum0, sum1, sums);
        KWS_LOAD_TWO(multiplier0, multiplier1, multipliers);
        y[2] = kws_scale_plain(sum0, multiplier0, shifts >> 16, zero_point);
        y[3] = kws_scale_plain(sum1, multiplier1, shifts >> 24, zero_point);
        right_shifts += 4;
        y += 4;
    }
}

#endif

/* The channels first .. channels - 1, without a branch: so a PC's vector registers serve it. */
KWS_VECTORISED static void scale_rest(const kws_scaling_t *scaling, int32_t first, int32_t channels,
                                      const int32_t *restrict sums, int8_t *restrict y)
{
    const int32_t *multipliers = scaling->multipliers;
    const int8_t *right_shifts = scaling->right_shifts;
    const int32_t zero_point = scaling->zero_point;
    const int32_t minimum = scaling->minimum;
    const int32_t maximum = scaling->maximum;
    int32_t c;
    KWS_ROLLED
    for (c = first; c < channels; ++c) {
        const int32_t right = right_shifts[c] > 0 ? right_shifts[c] : 0;
        const int32_t left = right - right_shifts[c];
        const int32_t high = kws_high_multiply((int32_t)((uint32_t)sums[c] << left), multipliers[c]);
        y[c] = kws_add_and_clamp(kws_divide_by_power_of_two(high, right), zero_point, minimum, maximum);
    }
}

void kws_scale_channels(const kws_scaling_t *scaling, int32_t channels, const int32_t *sums, int8_t *y)
{
    int32_t first = 0;
#ifdef KWS_DSP
    if (scaling->plain) {
        scale_plain_groups(scaling, channels / 4, sums, y);
        first = channels & ~3;
    }
#endif
    if (first < channels) {
        scale_rest(scaling, first, channels, sums, y);
    }
}
