/* The board is this computer: raw 16 kHz mono int16 little-endian samples from standard input, wake-ups as lines. */
#include "board.h"

#include <inttypes.h>
#include <stdio.h>

int board_start(void)
{
    return 0;
}

size_t board_samples(int16_t *samples, size_t most)
{
    size_t count = 0;
    while (count < most) {
        const int low = getchar();
        const int high = getchar();
        if (low == EOF || high == EOF) {
            break;
        }
        samples[count++] = (int16_t)(low + 256 * (high < 128 ? high : high - 256));
    }
    return count;
}

void board_wake(const char *phrase, int32_t score_q15, uint64_t milliseconds)
{
    printf("%" PRIu64 " ms: %s (score %" PRId32 " of 32768)\n", milliseconds, phrase, score_q15);
    fflush(stdout);
}
