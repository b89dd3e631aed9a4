#include "kws.h"

#include <string.h>

#include "kws_compiler.h"

/* The caller's memory: this struct in its first KWS_STATE_BYTES, then features, logits, arena, detector and frontend,
 * each aligned to 8 bytes. The room for the struct is the same on every machine, so the total is, too. */
#define KWS_STATE_BYTES 160u

struct kws_s {
    const kws_model_t *model;
    int16_t *lfbe;  /* [bands], one frame */
    int8_t *logits; /* [labels], of the last step; in the arena the next frame may take their place */
    int8_t *arena;  /* [graph->arena_bytes] */
    kws_lfbe_t frontend;
    kws_detector_t detector;
    uint64_t steps;
    int32_t frames; /* of the next step that are in the arena already */
};

/* What every file of the runtime takes for granted; an array of -1 elements does not compile. */
typedef char kws_state_fits[sizeof(struct kws_s) <= KWS_STATE_BYTES ? 1 : -1];
typedef char kws_int_has_32_bits[sizeof(int) >= sizeof(int32_t) ? 1 : -1];
typedef char kws_right_shift_is_arithmetic[(-3 >> 1) == -2 ? 1 : -1];

static size_t aligned(size_t bytes)
{
    return (bytes + 7u) & ~(size_t)7u;
}

static size_t lfbe_bytes(const kws_model_t *model)
{
    return aligned((size_t)model->graph->bands * sizeof(int16_t));
}

static size_t logits_bytes(const kws_model_t *model)
{
    return aligned(model->detector->labels);
}

static size_t arena_bytes(const kws_model_t *model)
{
    return aligned((size_t)model->graph->arena_bytes);
}

static size_t needed_bytes(const kws_model_t *model)
{
    return KWS_STATE_BYTES + lfbe_bytes(model) + logits_bytes(model) + arena_bytes(model) +
           aligned(kws_detector_memory_bytes(model->detector)) + aligned(kws_lfbe_memory_bytes(model->frontend));
}

/* What the parts say of each other first: then what is read of an array is no more than two of them say. */
KWS_SMALL static int is_whole(const kws_model_t *model)
{
    return model->phrases != NULL && model->frontend != NULL && model->graph != NULL && model->detector != NULL &&
           model->graph->bands == model->frontend->bands && model->graph->outputs == model->detector->labels &&
           kws_graph_check(model->graph) == KWS_GRAPH_OK && kws_lfbe_check(model->frontend) &&
           kws_detector_check(model->detector);
}

size_t kws_memory_bytes(const kws_model_t *model)
{
    return model != NULL && is_whole(model) ? needed_bytes(model) : 0u;
}

/* What kws_init cannot work with, or KWS_OK. */
static int32_t check(const kws_model_t *model, const void *memory, size_t bytes)
{
    if (model == NULL || memory == NULL) {
        return KWS_ERROR_ARGUMENT;
    }
    if (!is_whole(model)) {
        return KWS_ERROR_MODEL;
    }
    if (((uintptr_t)memory & 7u) != 0u) {
        return KWS_ERROR_ALIGNMENT;
    }
    return bytes < needed_bytes(model) ? KWS_ERROR_MEMORY : KWS_OK;
}

KWS_SMALL int32_t kws_init(kws_t **kws, const kws_model_t *model, void *memory, size_t bytes)
{
    const int32_t error = check(model, memory, bytes);
    uint8_t *place = (uint8_t *)memory;
    kws_t *detector = (kws_t *)memory;
    if (kws == NULL) {
        return KWS_ERROR_ARGUMENT;
    }
    *kws = NULL;
    if (error != KWS_OK) {
        return error;
    }
    detector->model = model;
    place += KWS_STATE_BYTES;
    detector->lfbe = (int16_t *)(void *)place;
    place += lfbe_bytes(model);
    detector->logits = (int8_t *)place;
    place += logits_bytes(model);
    detector->arena = (int8_t *)place;
    place += arena_bytes(model);
    kws_detector_init(&detector->detector, model->detector, place);
    place += aligned(kws_detector_memory_bytes(model->detector));
    kws_lfbe_init(&detector->frontend, model->frontend, place);
    kws_reset(detector);
    *kws = detector;
    return KWS_OK;
}

void kws_reset(kws_t *kws)
{
    if (kws == NULL) {
        return;
    }
    kws_lfbe_reset(&kws->frontend);
    kws_graph_reset(kws->model->graph, kws->arena);
    kws_detector_reset(&kws->detector);
    memset(kws->logits, 0, logits_bytes(kws->model));
    kws->steps = 0;
    kws->frames = 0;
}

/* The frame in kws->lfbe goes into the network's input; a full input makes a step: 1, else 0. */
static int take_frame(kws_t *kws)
{
    const kws_graph_t *graph = kws->model->graph;
    kws_quantize_features(graph, kws->lfbe, graph->bands, kws->arena + graph->input + kws->frames * graph->bands);
    if (++kws->frames < graph->stride) {
        return 0;
    }
    kws->frames = 0;
    kws_graph_step(graph, kws->arena);
    memcpy(kws->logits, kws->arena + graph->output, (size_t)graph->outputs);
    kws_detector_update(&kws->detector, kws->logits);
    ++kws->steps;
    return 1;
}

static kws_detection_t last_step(const kws_t *kws, uint32_t phrase)
{
    const kws_lfbe_tables_t *frontend = kws->model->frontend;
    const uint64_t last_frame = kws->steps * (uint32_t)kws->model->graph->stride - 1u;
    kws_detection_t detection;
    detection.sample = last_frame * (uint32_t)frontend->hop_samples + (uint32_t)frontend->window_samples;
    detection.step = (uint32_t)(kws->steps - 1u);
    detection.score = kws->detector.scores[phrase];
    detection.phrase = (int32_t)phrase;
    return detection;
}

/* Lets every phrase decide about the last step; `made` detections were found before. Returns how many there are now. */
static int32_t decide(kws_t *kws, kws_detection_t *detections, size_t capacity, int32_t made)
{
    uint32_t phrase;
    for (phrase = 0; phrase < kws->model->detector->phrases; ++phrase) {
        if (kws_detector_decide(&kws->detector, phrase) != 0) {
            if ((size_t)made < capacity) {
                detections[made] = last_step(kws, phrase);
            }
            ++made;
        }
    }
    return made;
}

int32_t kws_feed(kws_t *kws, const int16_t *samples, size_t count, kws_detection_t *detections, size_t capacity)
{
    int32_t made = 0;
    if (kws == NULL || (samples == NULL && count > 0) || (detections == NULL && capacity > 0)) {
        return KWS_ERROR_ARGUMENT;
    }
    while (count > 0) {
        /* windows start a hop apart, so a hop of samples completes at most one */
        const size_t hop = (size_t)kws->model->frontend->hop_samples;
        const size_t taken = count < hop ? count : hop;
        const size_t frames = kws_lfbe_push(&kws->frontend, samples, taken, kws->lfbe);
        samples += taken;
        count -= taken;
        if (frames > 0u && take_frame(kws) != 0) {
            made = decide(kws, detections, capacity, made);
        }
    }
    return made;
}

KWS_SMALL int32_t kws_set_threshold(kws_t *kws, int32_t phrase, int32_t threshold)
{
    int32_t each;
    if (kws == NULL || phrase < KWS_EVERY_PHRASE || phrase >= kws->model->detector->phrases || threshold < 1 ||
        threshold > KWS_SCORE_ONE + 1) {
        return KWS_ERROR_ARGUMENT;
    }
    for (each = 0; each < kws->model->detector->phrases; ++each) {
        if (phrase == each || phrase == KWS_EVERY_PHRASE) {
            kws->detector.thresholds[each] = (uint16_t)threshold;
        }
    }
    return KWS_OK;
}

uint32_t kws_steps(const kws_t *kws)
{
    return kws != NULL ? (uint32_t)kws->steps : 0u;
}

int32_t kws_score(const kws_t *kws, int32_t phrase)
{
    if (kws == NULL || phrase < 0 || phrase >= kws->model->detector->phrases) {
        return 0;
    }
    return kws->detector.scores[phrase];
}

const int8_t *kws_logits(const kws_t *kws)
{
    return kws != NULL ? kws->logits : NULL;
}
