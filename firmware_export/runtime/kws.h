#ifndef KWS_KWS_H
#define KWS_KWS_H

/* A wake-word detector for firmware: feed 16 kHz mono int16 samples, get detections.
 *
 *     #include "kws_model.h"                                       // one trained model; includes kws.h
 *
 *     static uint64_t memory[(KWS_MODEL_MEMORY_BYTES + 7) / 8];    // or ask kws_memory_bytes(&kws_model)
 *     kws_t *kws;
 *     int32_t error = kws_init(&kws, &kws_model, memory, sizeof memory);
 *     if (error != KWS_OK) ...                                     // a code below: KWS_ERROR_...
 *     for (;;) {
 *       read_microphone(samples, 160);                             // any number of samples at a time
 *       kws_detection_t detection;
 *       int32_t made = kws_feed(kws, samples, 160, &detection, 1);
 *       if (made > 0) wake_up(kws_model.phrases[detection.phrase]);
 *     }
 *
 * Numbers. Whatever the chunks, the same samples give the same detections, and they are those of `kws detect` on a
 * computer, number for number: integers only, no float. kws_selftest.h proves it on your device.
 *
 * Memory. No malloc. A detector lives in the memory that kws_init was given (KWS_MODEL_MEMORY_BYTES, the same number on
 * every machine), and a call needs some hundred bytes of stack; the model's constants may lie in flash. No global is
 * written: detectors in memory of their own run side by side, of one model or of several. Of the C library memcpy and
 * memset are used, nothing else.
 *
 * Time. A call that completes a window of audio computes its features, one that completes a step of the model runs it;
 * all others only copy samples. Fed one hop at a time (10 ms by default) a call does at most one of each.
 *
 * Tasks. A detector is for one task or interrupt at a time; calls for different detectors are independent.
 *
 * Errors are negative codes. A call with a null detector, which is what a failed kws_init leaves, returns an error or
 * 0 and does nothing.
 *
 * Files: kws.c (this interface), lfbe*.c (audio to log filter-bank energies), ops*.c (the int8 network), detector.c
 * (smoothing, thresholds, refractory period), model.c (the trained model, generated), kws_selftest.c (not needed by
 * firmware). */

#include <stddef.h>
#include <stdint.h>

#include "kws_detector.h"
#include "kws_lfbe.h"
#include "kws_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KWS_OK 0
#define KWS_ERROR_ARGUMENT (-1)  /* a pointer is null that must not be, or a number out of its range */
#define KWS_ERROR_MEMORY (-2)    /* the memory is smaller than kws_memory_bytes says */
#define KWS_ERROR_ALIGNMENT (-3) /* the memory is not aligned to 8 bytes */
#define KWS_ERROR_MODEL (-4)     /* the model's parts do not fit together: export it again */

#define KWS_EVERY_PHRASE (-1)

/* A trained model: constants, printed by `kws export`. */
typedef struct {
    const char *const *phrases; /* [detector->phrases], UTF-8 */
    const char *config_hash;    /* of the recipe that it was trained with */
    const char *model_hash;     /* SHA-256 in the .kws file that it was printed from */
    const kws_lfbe_tables_t *frontend;
    const kws_graph_t *graph;
    const kws_detector_config_t *detector;
} kws_model_t;

/* A detector's state; it lies at the start of the caller's memory. */
typedef struct kws_s kws_t;

typedef struct {
    uint64_t sample; /* the decision was made after this many samples of the stream; / 16000 gives seconds */
    uint32_t step;   /* of the model, counted from 0; begins anew after 2^32 of them, 497 days of 10 ms */
    int32_t score;   /* confidence in Q15, 0..32768 */
    int32_t phrase;  /* which of the model's phrases, counted from 0 */
} kws_detection_t;

/* Bytes of memory that a detector of this model needs, the same number on every machine; 0 for a null pointer and for a
 * model whose parts do not fit together. */
size_t kws_memory_bytes(const kws_model_t *model);

/* Sets a detector up in `memory` (`bytes` of it, aligned to 8), at the start of a stream. Model and memory must stay
 * where they are while the detector is in use. KWS_OK, or the error; then *kws is null. The model is checked whole, so
 * that no step can leave its memory; only the lengths of its arrays are taken on trust. */
int32_t kws_init(kws_t **kws, const kws_model_t *model, void *memory, size_t bytes);

/* Takes `count` samples (any number, 0 too). Returns how many detections they made, or an error. The first `capacity`
 * detections are stored, by step, then by phrase (`detections` may be null when capacity is 0). Each phrase decides by
 * itself; its refractory period makes more than one per call rare. */
int32_t kws_feed(kws_t *kws, const int16_t *samples, size_t count, kws_detection_t *detections, size_t capacity);

/* Back to the start of a stream: forgets what was heard, and counts samples from 0. The thresholds stay. */
void kws_reset(kws_t *kws);

/* Another threshold than the model's own for one phrase or KWS_EVERY_PHRASE, Q15: a sensitivity knob. 1..32768; 32769
 * never fires; 0, which every score reaches, would fire once and never again. KWS_OK, or KWS_ERROR_ARGUMENT where there
 * is no such phrase or threshold. */
int32_t kws_set_threshold(kws_t *kws, int32_t phrase, int32_t threshold);

/* What the last step gave, for meters and logs: steps made so far, a phrase's confidence in Q15 (0 before the first),
 * and the int8 logits [labels] (meaningful after the first step, and until the next call of kws_feed). */
uint32_t kws_steps(const kws_t *kws);
int32_t kws_score(const kws_t *kws, int32_t phrase);
const int8_t *kws_logits(const kws_t *kws);

#ifdef __cplusplus
}
#endif

#endif
