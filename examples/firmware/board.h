#ifndef BOARD_H
#define BOARD_H

/* What main.c needs of a board: port these three functions and nothing else. */
#include <stddef.h>
#include <stdint.h>

/* Starts the microphone: 16 kHz, mono, int16. 0, or the board's error. */
int board_start(void);

/* Gives the next samples that the microphone's DMA has finished, at most `most`; sleeps until there are some.
 * Returns how many, 0 when the microphone is gone. */
size_t board_samples(int16_t *samples, size_t most);

/* Someone said the phrase: light a lamp, wake the big processor. `milliseconds` count from the start. */
void board_wake(const char *phrase, int32_t score_q15, uint64_t milliseconds);

#endif
