#ifndef KWS_DETECTOR_H
#define KWS_DETECTOR_H

/* From int8 logits to detections, in integers: the same numbers as kws/detector/decision.py, bit for bit.
 *
 * Posterior handling of Chen, Parada, Heigold, "Small-footprint keyword spotting using deep neural networks",
 * ICASSP 2014, section 3.3, for one phrase or several: each is heard by keyword labels of its own (phrases may share
 * them) and decides by itself. No malloc, no float. Memory for K keyword labels and P phrases:
 * 2 * K * (smooth_frames + max_frames) + 6 * K + 7 * P bytes, rounded up to 4, beside the struct itself: 540 bytes for
 * one phrase of two words with 30 and 100 frames. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KWS_DETECTOR_MAX_LABELS 64
#define KWS_DETECTOR_MAX_SMOOTH 1000
#define KWS_DETECTOR_MAX_FRAMES 4000
#define KWS_SCORE_ONE 32768

/* Constants of a detector; they may lie in flash. */
typedef struct {
    const uint16_t *exp_table;     /* [256], exp(-scale * d) in Q15, the first 32768 */
    const uint8_t *keywords;       /* the phrases' keyword labels, 1..labels - 1, one phrase after the other */
    const uint8_t *keyword_counts; /* [phrases], how many of them are each phrase's, at least 1 */
    const uint16_t *thresholds;    /* [phrases], Q15, 1..32768; 32769 never fires */
    uint16_t phrases;              /* 1..63 */
    uint16_t labels;               /* filler and keyword labels, 2..64: the logits of one step */
    uint16_t smooth_frames;        /* posteriors in the mean, 1..1000 */
    uint16_t max_frames;           /* smoothed posteriors in the maximum, 1..4000 */
    uint16_t refractory_steps;     /* steps from one detection of a phrase to its next, at least */
} kws_detector_config_t;

/* What the last steps left behind. The pointers lead into the caller's memory. */
typedef struct {
    const kws_detector_config_t *config;
    uint32_t *sums;            /* [keyword labels], of the posteriors in the ring */
    uint16_t *maxima;          /* [keyword labels], of the smoothed posteriors in the ring */
    uint16_t *posteriors;      /* [smooth_frames][keyword labels], a ring */
    uint16_t *smoothed;        /* [max_frames][keyword labels], a ring */
    uint16_t *scores;          /* [phrases], of the last step: confidence in Q15, 0..32768 */
    uint16_t *thresholds;      /* [phrases], Q15 */
    uint16_t *refractory_left; /* [phrases], steps in which no detection may come */
    uint8_t *armed;            /* [phrases], the score was below the threshold since the last detection */
    uint16_t smooth_at;        /* the ring's oldest row, replaced by the next step */
    uint16_t max_at;
    uint16_t smooth_count; /* posteriors in the ring: fewer than smooth_frames at the start */
} kws_detector_t;

/* 1 if every constant lies within its bounds and no pointer is null, else 0. */
int kws_detector_check(const kws_detector_config_t *config);

/* Bytes of memory that kws_detector_init needs; a multiple of 4. */
size_t kws_detector_memory_bytes(const kws_detector_config_t *config);

/* Set the detector up in `memory` (aligned to 4 bytes), at the start of a stream. `config` is kept. */
void kws_detector_init(kws_detector_t *detector, const kws_detector_config_t *config, void *memory);

/* Back to the start of a stream; the thresholds stay. */
void kws_detector_reset(kws_detector_t *detector);

/* One step: int8 logits [labels] -> detector->scores. Work: O(labels + keywords of the phrases), and now and then one
 * look over the max_frames values of a label, when its maximum leaves the ring. */
void kws_detector_update(kws_detector_t *detector, const int8_t *logits);

/* After each update, once for each phrase: 1 if the phrase fires in this step, else 0. */
int kws_detector_decide(kws_detector_t *detector, uint32_t phrase);

#ifdef __cplusplus
}
#endif

#endif
