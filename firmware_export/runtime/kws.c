#include "kws.h"

#include <string.h>

/* The caller's memory: this struct in its first KWS_STATE_BYTES, then features, logits, arena, detector and frontend,
 * each aligned to 8 bytes. The room for the struct is the same on every machine, so the total is, too. */
#define KWS_STATE_BYTES 160u

struct kws_s {
    const kws_model_t *model;
    int16_t *lfbe; /* [bands], one frame */
    int8_t *logits; /* [labels], of the last step; in the arena the next frame may take their place */
    int8_t *arena; /* [graph->arena_bytes] */
    kws_lfbe_t frontend;
    kws_detector_t detector;
    uint32_t steps;
    int32_t frames; /* of the next step that are in the arena already */
};

/* does not compile where the struct outgrew its room */
typedef char kws_state_fits[sizeof(struct kws_s) <= KWS_STATE_BYTES ? 1 : -1];

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

size_t kws_memory_bytes(const kws_model_t *model)
{
    if (model == NULL || model->frontend == NULL || model->graph == NULL || model->detector == NULL) {
        return 0;
    }
    return KWS_STATE_BYTES + lfbe_bytes(model) + logits_bytes(model) + arena_bytes(model) +
           aligned(kws_detector_memory_bytes(model->detector)) + aligned(kws_lfbe_memory_bytes(model->frontend));
}

static int is_whole(const kws_model_t *model)
{
    const kws_lfbe_tables_t *frontend = model->frontend;
    const kws_detector_config_t *detector = model->detector;
    return kws_graph_check(model->graph) == KWS_GRAPH_OK && model->graph->bands == frontend->bands &&
           frontend->hop_samples > 0 && frontend->window_samples >= frontend->hop_samples &&
           model->graph->outputs == detector->labels && model->phrases != NULL && kws_detector_check(detector);
}

int32_t kws_init(kws_t **kws, const kws_model_t *model, void *memory, size_t bytes)
{
    const size_t needed = kws_memory_bytes(model);
    uint8_t *place = (uint8_t *)memory;
    kws_t *detector = (kws_t *)memory;
    if (kws == NULL) {
        return KWS_ERROR_ARGUMENT;
    }
    *kws = NULL;
    if (needed == 0 || memory == NULL) {
        return KWS_ERROR_ARGUMENT;
    }
    if (((uintptr_t)memory & 7u) != 0) {
        return KWS_ERROR_ALIGNMENT;
    }
    if (bytes < needed) {
        return KWS_ERROR_MEMORY;
    }
    if (!is_whole(model)) {
        return KWS_ERROR_MODEL;
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
    const uint64_t last_frame = (uint64_t)kws->steps * (uint32_t)kws->model->graph->stride - 1u;
    kws_detection_t detection;
    detection.sample = last_frame * (uint32_t)frontend->hop_samples + (uint32_t)frontend->window_samples;
    detection.step = kws->steps - 1u;
    detection.score = kws->detector.scores[phrase];
    detection.phrase = (int32_t)phrase;
    return detection;
}

/* Lets every phrase decide about the last step; `made` detections were found before. Returns how many there are now. */
static int32_t decide(kws_t *kws, kws_detection_t *detections, size_t capacity, int32_t made)
{
    uint32_t phrase;
    for (phrase = 0; phrase < kws->model->detector->phrases; ++phrase) {
        if (kws_detector_decide(&kws->detector, phrase)) {
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
        if (frames > 0 && take_frame(kws)) {
            made = decide(kws, detections, capacity, made);
        }
    }
    return made;
}

int32_t kws_set_threshold(kws_t *kws, int32_t phrase, int32_t threshold)
{
    const int32_t phrases = kws->model->detector->phrases;
    int32_t each;
    if (phrase < KWS_EVERY_PHRASE || phrase >= phrases || threshold < 0 || threshold > KWS_SCORE_ONE + 1) {
        return KWS_ERROR_ARGUMENT;
    }
    for (each = 0; each < phrases; ++each) {
        if (phrase == each || phrase == KWS_EVERY_PHRASE) {
            kws->detector.thresholds[each] = (uint16_t)threshold;
        }
    }
    return KWS_OK;
}

uint32_t kws_steps(const kws_t *kws)
{
    return kws->steps;
}

int32_t kws_score(const kws_t *kws, int32_t phrase)
{
    return phrase >= 0 && phrase < kws->model->detector->phrases ? kws->detector.scores[phrase] : 0;
}

const int8_t *kws_logits(const kws_t *kws)
{
    return kws->logits;
}
