/* The detector for Python: a chunk of any length in one call, with every step's scores. Beside the runtime that ships
 * to devices and made of it: nothing here computes a number. See host.c. */
#ifndef KWS_HOST_H
#define KWS_HOST_H

#include "kws.h"

/* Frames that the next kws_host_feed of so many samples will compute. */
size_t kws_host_frames(const kws_t *kws, size_t count);

/* Does what kws_feed does, and stores each step's scores: [steps][phrases], Q15. `features` is room for
 * kws_host_frames(kws, count) frames. Nothing is checked: Python hands over what fits. */
int32_t kws_host_feed(kws_t *kws, const int16_t *samples, size_t count, int16_t *features, uint16_t *scores,
                      kws_detection_t *detections, size_t capacity);

#endif
