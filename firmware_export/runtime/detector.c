#include "kws_detector.h"

#include <string.h>

#include "kws_compiler.h"

static uint32_t keywords_of(const kws_detector_config_t *config)
{
    return config->labels - 1u;
}

KWS_SMALL int kws_detector_check(const kws_detector_config_t *config)
{
    const uint8_t *keyword = config->keywords;
    uint32_t phrase;
    if (config->exp_table == NULL || keyword == NULL || config->keyword_counts == NULL || config->thresholds == NULL ||
        config->labels < 2 || config->labels > KWS_DETECTOR_MAX_LABELS || config->phrases < 1 ||
        config->phrases >= KWS_DETECTOR_MAX_LABELS || config->smooth_frames < 1 ||
        config->smooth_frames > KWS_DETECTOR_MAX_SMOOTH || config->max_frames < 1 ||
        config->max_frames > KWS_DETECTOR_MAX_FRAMES || config->exp_table[0] != KWS_SCORE_ONE) {
        return 0;
    }
    for (phrase = 0; phrase < config->phrases; ++phrase) {
        uint32_t left = config->keyword_counts[phrase];
        if (left < 1 || left >= config->labels || config->thresholds[phrase] < 1 ||
            config->thresholds[phrase] > KWS_SCORE_ONE + 1) {
            return 0;
        }
        for (; left > 0; --left, ++keyword) {
            if (*keyword < 1 || *keyword >= config->labels) {
                return 0;
            }
        }
    }
    return 1;
}

size_t kws_detector_memory_bytes(const kws_detector_config_t *config)
{
    const size_t keywords = keywords_of(config);
    const size_t phrases = config->phrases;
    const size_t rows = (size_t)config->smooth_frames + config->max_frames + 1u; /* and the maxima */
    const size_t bytes = keywords * sizeof(uint32_t) + (rows * keywords + 3u * phrases) * sizeof(uint16_t) + phrases;
    return (bytes + 3u) & ~(size_t)3u;
}

KWS_SMALL void kws_detector_init(kws_detector_t *detector, const kws_detector_config_t *config, void *memory)
{
    const size_t keywords = keywords_of(config);
    detector->config = config;
    detector->sums = (uint32_t *)memory;
    detector->maxima = (uint16_t *)(void *)(detector->sums + keywords);
    detector->posteriors = detector->maxima + keywords;
    detector->smoothed = detector->posteriors + keywords * config->smooth_frames;
    detector->scores = detector->smoothed + keywords * config->max_frames;
    detector->refractory_left = detector->scores + config->phrases;
    detector->thresholds = detector->refractory_left + config->phrases;
    detector->armed = (uint8_t *)(detector->thresholds + config->phrases);
    memcpy(detector->thresholds, config->thresholds, config->phrases * sizeof(uint16_t));
    kws_detector_reset(detector);
}

KWS_SMALL void kws_detector_reset(kws_detector_t *detector)
{
    /* zeros stand for what lies before the start: they add nothing to a sum and never are the maximum */
    memset(detector->sums, 0, (size_t)((uint8_t *)detector->thresholds - (uint8_t *)detector->sums));
    memset(detector->armed, 1, detector->config->phrases);
    detector->smooth_at = 0;
    detector->max_at = 0;
    detector->smooth_count = 0;
}

/* a * b / 2^15, truncated; a in Q30, b in Q15 */
static uint32_t multiply_q15(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 15);
}

/* The largest Q15 value whose power is at most the product, by bisection: its bits from the highest down. */
KWS_SMALL static uint32_t root_q15(uint32_t product, uint32_t count)
{
    uint32_t root = 0;
    uint32_t bit;
    for (bit = KWS_SCORE_ONE; bit != 0; bit >>= 1) {
        const uint32_t trial = root | bit;
        uint32_t power = (uint32_t)KWS_SCORE_ONE * KWS_SCORE_ONE;
        uint32_t i;
        if (trial > KWS_SCORE_ONE) { /* the root is 1.0: no lower bit can be set */
            break;
        }
        for (i = 0; i < count; ++i) {
            power = multiply_q15(power, trial);
        }
        if (power <= product) {
            root = trial;
        }
    }
    return root;
}

/* The geometric mean of the maxima of `count` labels: the root of their truncated product. */
KWS_SMALL static uint32_t confidence_q15(const uint16_t *maxima, const uint8_t *keywords, uint32_t count)
{
    uint32_t product = (uint32_t)KWS_SCORE_ONE * KWS_SCORE_ONE;
    uint32_t i;
    if (count == 1) { /* the root of one factor is that factor */
        return maxima[keywords[0] - 1u];
    }
    for (i = 0; i < count; ++i) {
        product = multiply_q15(product, maxima[keywords[i] - 1u]);
    }
    return root_q15(product, count);
}

/* A smoothed posterior takes the place of the oldest one; returns the ring's new maximum. */
KWS_SMALL static uint16_t replace_and_maximum(uint16_t *ring, uint32_t rows, uint32_t stride, uint32_t at,
                                              uint16_t value, uint16_t maximum)
{
    const uint16_t left = ring[at * stride];
    uint32_t row;
    ring[at * stride] = value;
    if (value >= maximum) {
        return value;
    }
    if (left < maximum) {
        return maximum;
    }
    maximum = 0; /* the maximum may have left: look for the new one */
    for (row = 0; row < rows; ++row) {
        if (ring[row * stride] > maximum) {
            maximum = ring[row * stride];
        }
    }
    return maximum;
}

static uint32_t next_row(uint32_t at, uint32_t size)
{
    return at + 1u == size ? 0u : at + 1u;
}

/* The logits' softmax goes into both rings: posteriors, then their means, and the maxima of those. */
KWS_SMALL static void take_logits(kws_detector_t *detector, const int8_t *logits)
{
    const kws_detector_config_t *config = detector->config;
    const uint32_t keywords = keywords_of(config);
    int32_t largest = logits[0];
    uint32_t total = 0;
    uint32_t count;
    uint32_t i;
    for (i = 1; i <= keywords; ++i) {
        largest = logits[i] > largest ? logits[i] : largest;
    }
    for (i = 0; i <= keywords; ++i) {
        total += config->exp_table[largest - logits[i]];
    }
    if (detector->smooth_count < config->smooth_frames) {
        ++detector->smooth_count;
    }
    count = detector->smooth_count;
    for (i = 0; i < keywords; ++i) {
        const uint32_t exponential = config->exp_table[largest - logits[i + 1u]];
        const uint32_t posterior = (exponential * KWS_SCORE_ONE + total / 2u) / total;
        uint16_t *oldest = &detector->posteriors[detector->smooth_at * keywords + i];
        uint32_t mean;
        detector->sums[i] += posterior - *oldest;
        *oldest = (uint16_t)posterior;
        mean = (detector->sums[i] + count / 2u) / count;
        detector->maxima[i] = replace_and_maximum(detector->smoothed + i, config->max_frames, keywords,
                                                  detector->max_at, (uint16_t)mean, detector->maxima[i]);
    }
    detector->smooth_at = (uint16_t)next_row(detector->smooth_at, config->smooth_frames);
    detector->max_at = (uint16_t)next_row(detector->max_at, config->max_frames);
}

KWS_SMALL void kws_detector_update(kws_detector_t *detector, const int8_t *logits)
{
    const kws_detector_config_t *config = detector->config;
    const uint8_t *keywords = config->keywords;
    uint32_t phrase;
    take_logits(detector, logits);
    for (phrase = 0; phrase < config->phrases; ++phrase) {
        const uint32_t count = config->keyword_counts[phrase];
        detector->scores[phrase] = (uint16_t)confidence_q15(detector->maxima, keywords, count);
        keywords += count;
    }
}

KWS_SMALL int kws_detector_decide(kws_detector_t *detector, uint32_t phrase)
{
    if (detector->refractory_left[phrase] > 0) {
        --detector->refractory_left[phrase];
    }
    if (detector->scores[phrase] < detector->thresholds[phrase]) {
        detector->armed[phrase] = 1;
        return 0;
    }
    if (!detector->armed[phrase] || detector->refractory_left[phrase] > 0) {
        return 0;
    }
    detector->armed[phrase] = 0;
    detector->refractory_left[phrase] = detector->config->refractory_steps;
    return 1;
}
