/* Inside the frontend: the arithmetic of one frame, or of LANES frames side by side on a host. */
#ifndef KWS_LFBE_FRAME_H
#define KWS_LFBE_FRAME_H

#include "kws_dsp.h"
#include "kws_lfbe.h"

/* Frames computed at once. Vector units of a host work on as many; a device computes one. */
#ifndef KWS_LFBE_LANES
#ifdef KWS_HOST
#define KWS_LFBE_LANES 16
#else
#define KWS_LFBE_LANES 1
#endif
#endif

/* One frame at a time on a processor with the instructions of kws_dsp.h: lfbe_dsp.c; else lfbe_frame.c. */
#if KWS_LFBE_LANES == 1 && defined(KWS_DSP)
#define KWS_LFBE_DSP
#endif

/* Bytes of scratch for kws_lfbe_lanes. */
size_t kws_lfbe_lanes_bytes(const kws_lfbe_tables_t *tables);

/* Compute lanes (1 .. KWS_LFBE_LANES) frames, frame i from first + i * stride, into features [lanes][bands]. */
void kws_lfbe_lanes(const kws_lfbe_tables_t *tables, const int16_t *first, size_t stride, size_t lanes,
                    int16_t *features, void *scratch);

#endif
