/* kws_feed as a PC wants it. A device takes one hop at a time, in the least memory; here the frontend has all of a
 * chunk's frames side by side in its vector registers. The steps, the decision and their order are the device's own
 * functions: kws.c is part of this file. */
#include "host.h"

#include "kws.c"
#include "kws_lfbe_frame.h"

size_t kws_host_frames(const kws_t *kws, size_t count)
{
    return kws_lfbe_frames(&kws->frontend, count);
}

int32_t kws_host_feed(kws_t *kws, const int16_t *samples, size_t count, int16_t *features, uint16_t *scores,
                      kws_detection_t *detections, size_t capacity)
{
    const size_t bands = kws->model->frontend->bands;
    const size_t phrases = kws->model->detector->phrases;
    const size_t frames = kws_lfbe_push(&kws->frontend, samples, count, features);
    int32_t made = 0;
    size_t frame;
    for (frame = 0; frame < frames; ++frame) {
        memcpy(kws->lfbe, features + frame * bands, bands * sizeof(int16_t));
        if (take_frame(kws) != 0) {
            memcpy(scores, kws->detector.scores, phrases * sizeof(uint16_t));
            scores += phrases;
            made = decide(kws, detections, capacity, made);
        }
    }
    return made;
}

/* A chunk of 64 ms has 6 or 7 frames: half of the lanes would compute for nothing, so there are kernels of two widths.
 */
void kws_lfbe_lanes_narrow(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t lanes,
                           int16_t *features, void *scratch);
void kws_lfbe_lanes_wide(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t lanes,
                         int16_t *features, void *scratch);

void kws_lfbe_lanes(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t lanes,
                    int16_t *features, void *scratch)
{
    if (lanes <= KWS_LFBE_LANES / 2) {
        kws_lfbe_lanes_narrow(tables, first, stride, lanes, features, scratch);
    } else {
        kws_lfbe_lanes_wide(tables, first, stride, lanes, features, scratch);
    }
}
