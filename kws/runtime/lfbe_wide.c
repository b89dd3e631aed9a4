/* The frontend's kernel in its full width; host.c chooses between it and the narrow one. */
#define kws_lfbe_lanes kws_lfbe_lanes_wide

#include "lfbe_frame.c"
