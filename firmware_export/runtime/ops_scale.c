/* Whole rows of outputs. See ops_scale.h. */
#include "ops_scale.h"

#ifdef KWS_DSP

/* Outputs of `groups` times four channels, where they are plain. */
static void scale_plain_groups(const scaling_t *scaling, int32_t groups, const int32_t *sums, int8_t *y)
{
    const int32_t *multipliers = scaling->multipliers;
    const int8_t *right_shifts = scaling->right_shifts;
    const int32_t zero_point = scaling->zero_point;
    const int8_t *end = y + 4 * groups;
    while (y != end) {
        const uint32_t shifts = load_word(right_shifts);
        int32_t sum0, sum1, multiplier0, multiplier1;
        LOAD_TWO(sum0, sum1, sums);
        LOAD_TWO(multiplier0, multiplier1, multipliers);
        y[0] = scale_plain(sum0, multiplier0, shifts, zero_point);
        y[1] = scale_plain(sum1, multiplier1, shifts >> 8, zero_point);
        LOAD_TWO(sum0, sum1, sums);
        LOAD_TWO(multiplier0, multiplier1, multipliers);
        y[2] = scale_plain(sum0, multiplier0, shifts >> 16, zero_point);
        y[3] = scale_plain(sum1, multiplier1, shifts >> 24, zero_point);
        right_shifts += 4;
        y += 4;
    }
}

#endif

void kws_scale_channels(const scaling_t *scaling, int32_t channels, const int32_t *sums, int8_t *y)
{
    int32_t c = 0;
#ifdef KWS_DSP
    if (scaling->plain) {
        scale_plain_groups(scaling, channels / 4, sums, y);
        c = channels & ~3;
    }
#endif
    ROLLED
    for (; c < channels; ++c) {
        y[c] = scale_any(scaling, c, sums[c]);
    }
}
