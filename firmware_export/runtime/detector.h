#ifndef KWS_DETECTOR_H
#define KWS_DETECTOR_H

/* From int8 logits to detections, in integers: the same numbers as kws/detect.py, bit for bit.
 *
 * Posterior handling of Chen, Parada, Heigold, "Small-footprint keyword spotting using deep neural networks",
 * ICASSP 2014, section 3.3. No malloc, no float. Memory for K keyword labels:
 * 2 * K * (smooth_frames + max_frames) + 6 * K bytes, rounded up to 4, beside the struct itself: 532 bytes for two
 * keyword words with 30 and 100 frames. */

#include <stddef.h>
#include <stdint.h>

#define KWS_DETECTOR_MAX_LABELS 16
#define KWS_SCORE_ONE 32768

/* Constants of a detector; they may lie in flash. */
typedef struct {
    const uint16_t *exp_table;  /* [256], exp(-scale * d) in Q15 */
    uint16_t labels;            /* filler and keyword labels, 2..16: the logits of one step */
    uint16_t smooth_frames;     /* posteriors in the mean, 1..1000 */
    uint16_t max_frames;        /* smoothed posteriors in the maximum, 1..4000 */
    uint16_t refractory_steps;  /* steps from one detection to the next, at least */
} kws_detector_config_t;

/* What the last steps left behind. The pointers lead into the caller's memory. */
typedef struct {
    const kws_detector_config_t *config;
    uint32_t *sums;            /* [keywords], of the posteriors in the ring */
    uint16_t *maxima;          /* [keywords], of the smoothed posteriors in the ring */
    uint16_t *posteriors;      /* [smooth_frames][keywords], a ring */
    uint16_t *smoothed;        /* [max_frames][keywords], a ring */
    uint16_t smooth_at;        /* the ring's oldest row, replaced by the next step */
    uint16_t max_at;
    uint16_t smooth_count;     /* posteriors in the ring: fewer than smooth_frames at the start */
    uint16_t refractory_left;  /* steps in which no detection may come */
    uint8_t armed;             /* the score was below the threshold since the last detection */
} kws_detector_t;

/* Bytes of memory that kws_detector_init needs; a multiple of 4. */
size_t kws_detector_memory_bytes(const kws_detector_config_t *config);

/* Set the detector up in `memory` (aligned to 4 bytes), at the start of a stream. `config` is kept. */
void kws_detector_init(kws_detector_t *detector, const kws_detector_config_t *config, void *memory);

/* Back to the start of a stream. */
void kws_detector_reset(kws_detector_t *detector);

/* One step: int8 logits [labels] -> confidence in Q15, 0..32768. Work: O(labels), and now and then one look over
 * the max_frames values of a label, when its maximum leaves the ring. */
int32_t kws_detector_score(kws_detector_t *detector, const int8_t *logits);

/* One step: 1 if the detector fires at this score, else 0. Threshold in Q15; 32769 never fires. */
int kws_detector_decide(kws_detector_t *detector, int32_t score, int32_t threshold);

#endif
