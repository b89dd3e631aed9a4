/* The frontend's kernel in half the width, for few frames; host.c chooses. It needs less scratch than the wide one. */
#define KWS_LFBE_LANES 8
#define kws_lfbe_lanes kws_lfbe_lanes_narrow
#define kws_lfbe_lanes_bytes kws_lfbe_lanes_narrow_bytes

#include "lfbe_frame.c"
