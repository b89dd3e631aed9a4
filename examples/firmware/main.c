/* The whole firmware: no malloc, no float, a fixed piece of RAM. Everything that depends on the board is in board.h. */
#include "board.h"
#include "kws_model.h"

#define BLOCK 160 /* 10 ms: a call of kws_feed then does at most one frame and one step of the network */

static uint64_t memory[(KWS_MODEL_MEMORY_BYTES + 7) / 8];

int main(void)
{
    int16_t samples[BLOCK];
    kws_detection_t detections[KWS_MODEL_PHRASES];
    size_t count;
    kws_t *kws;
    if (kws_init(&kws, &kws_model, memory, sizeof memory) != KWS_OK || board_start() != 0) {
        return 1;
    }
    while ((count = board_samples(samples, BLOCK)) > 0) {
        const int32_t made = kws_feed(kws, samples, count, detections, KWS_MODEL_PHRASES);
        int32_t i;
        for (i = 0; i < made; ++i) {
            board_wake(kws_model.phrases[detections[i].phrase], detections[i].score, detections[i].sample / 16u);
        }
    }
    return 0;
}
