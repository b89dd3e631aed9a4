/* Runs a fuzz target without a fuzzer: inputs that depend on a seed and a number alone, or the files that are named (so
 * AFL++ runs it, and a crash of any fuzzer is seen again).
 *
 *     ./target [-seed=N] [-first=N] [-runs=N] [-seconds=N] [FILE...]
 *
 * With -fsanitize=fuzzer this file is left out: libFuzzer has a main of its own. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LARGEST_INPUT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)); /* of the sanitizers' runtime */

static uint64_t seed = 1;
static uint64_t current;

static void tell(void)
{
    fprintf(stderr, "again with: -seed=%" PRIu64 " -first=%" PRIu64 " -runs=1\n", seed, current);
}

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Short inputs more often than long ones; the copy on the heap has no byte to spare. */
static void run_generated(uint64_t number)
{
    static uint8_t bytes[LARGEST_INPUT];
    uint64_t state = seed * UINT64_C(0x100000001b3) + number;
    const size_t size = (size_t)(next(&state) % LARGEST_INPUT) >> (next(&state) % 10);
    uint8_t *input = malloc(size ? size : 1);
    size_t i;
    for (i = 0; i < size; ++i) {
        bytes[i] = (uint8_t)next(&state);
    }
    memcpy(input, bytes, size);
    LLVMFuzzerTestOneInput(input, size);
    free(input);
}

static int run_file(const char *path)
{
    uint8_t *bytes = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    size_t size;
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return 2;
    }
    size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t first = 0;
    uint64_t runs = UINT64_MAX;
    uint64_t seconds = UINT64_MAX;
    int files = 0;
    int i;
    const time_t start = time(NULL);
    __sanitizer_set_death_callback(tell);
    for (i = 1; i < argc; ++i) {
        if (sscanf(argv[i], "-seed=%" SCNu64, &seed) + sscanf(argv[i], "-first=%" SCNu64, &first) +
                sscanf(argv[i], "-runs=%" SCNu64, &runs) + sscanf(argv[i], "-seconds=%" SCNu64, &seconds) >
            0) {
            continue;
        }
        ++files;
        if (run_file(argv[i]) != 0) {
            return 2;
        }
    }
    if (files == 0) {
        for (current = first; current - first < runs && (uint64_t)(time(NULL) - start) < seconds; ++current) {
            run_generated(current);
        }
        printf("%" PRIu64 " inputs, nothing found\n", current - first);
    }
    return 0;
}
