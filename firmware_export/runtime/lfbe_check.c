/* Do the tables of the frontend fit together? What a damaged or mismatched model.c would get wrong. */
#include "kws_compiler.h"
#include "kws_lfbe.h"

/* Bits of energy that are the scale: more would take a logarithm out of range. */
#define LARGEST_ENERGY_BITS 64u

KWS_SMALL static int has_arrays(const kws_lfbe_tables_t *tables)
{
    return tables->window != NULL && tables->twiddles != NULL && tables->split != NULL && tables->order != NULL &&
           tables->mel_edges != NULL && tables->mel_weights != NULL && tables->log2_table != NULL;
}

KWS_SMALL static int has_sizes(const kws_lfbe_tables_t *tables)
{
    const unsigned fft_size = tables->fft_size;
    return (fft_size == 256u || fft_size == 512u || fft_size == 1024u) && tables->window_samples <= fft_size &&
           tables->window_samples >= 2u && tables->window_samples % 2u == 0u && tables->hop_samples >= 1u &&
           tables->hop_samples <= tables->window_samples && tables->bands >= 1u && tables->bands <= fft_size / 2u &&
           tables->energy_bits <= LARGEST_ENERGY_BITS;
}

/* Where the FFT of so many points leaves a bin: each pass of radix 4 sorts by the bin's last digit. */
KWS_SMALL static size_t place_of(size_t bin, size_t points)
{
    size_t place = 0;
    for (; points >= 4u; points /= 4u) {
        place += bin % 4u * (points / 4u);
        bin /= 4u;
    }
    return place + bin;
}

/* Every bin is read where the FFT leaves it, and no band reaches beyond the bins. */
KWS_SMALL static int has_bins(const kws_lfbe_tables_t *tables)
{
    const size_t bins = tables->fft_size / 2u;
    size_t i;
    for (i = 0; i < bins; i++) {
        if (tables->order[i] != place_of(i, bins)) {
            return 0;
        }
    }
    for (i = 0; i <= tables->bands; i++) {
        if (tables->mel_edges[i] > tables->mel_edges[i + 1]) {
            return 0;
        }
    }
    return tables->mel_edges[tables->bands + 1u] <= bins;
}

KWS_SMALL int kws_lfbe_check(const kws_lfbe_tables_t *tables)
{
    return has_arrays(tables) && has_sizes(tables) && has_bins(tables);
}
