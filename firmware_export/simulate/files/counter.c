/* Called by the emulator at the start of every block it runs: adds the block's instructions to those of its address and
 * of the part of the detector that is running, and follows the stack pointer. Compiled for the machine that runs the
 * emulator, which calls it without Python. */
#include <stdint.h>

typedef int (*read_register)(void *emulator, int number, void *value);

/* The fields of firmware_export/simulate/counter.py's _Fields, in its order. */
typedef struct {
    const uint8_t *code; /* [bytes], the memory from `begin` on */
    uint64_t begin;
    uint64_t bytes;
    uint32_t *block_bytes;  /* [bytes / 2], of the last block that began here */
    uint32_t *block_counts; /* [bytes / 2], its instructions */
    uint64_t *executed;     /* [bytes / 2], instructions of all the blocks that began here */
    const uint8_t *parts;   /* [bytes / 2], the part that this code belongs to; 0: that of its caller */
    uint64_t *totals;       /* [parts], instructions of each */
    read_register read;
    uint64_t deepest; /* the lowest stack pointer seen */
    int32_t stack_register;
    int32_t risc; /* 1: RISC-V, 0: Thumb */
    int32_t part; /* the one that is running */
} counter_t;

/* Both instruction sets have instructions of 2 and of 4 bytes; the first half tells which. */
static uint32_t instructions(const counter_t *counter, uint64_t at, uint64_t bytes)
{
    const uint64_t end = at + bytes;
    uint32_t count = 0;
    while (at < end) {
        const uint32_t half = counter->code[at] | (uint32_t)counter->code[at + 1] << 8;
        const int longer = counter->risc ? (half & 3u) == 3u : half >= 0xe800u;
        at += longer ? 4u : 2u;
        ++count;
    }
    return count;
}

void kws_count_block(void *emulator, uint64_t address, uint32_t bytes, counter_t *counter)
{
    const uint64_t at = address - counter->begin;
    const uint64_t slot = at / 2;
    uint64_t pointer = 0;
    if (at >= counter->bytes) {
        return;
    }
    if (counter->block_bytes[slot] != bytes) {
        counter->block_bytes[slot] = bytes;
        counter->block_counts[slot] = instructions(counter, at, bytes);
    }
    if (counter->parts[slot]) {
        counter->part = counter->parts[slot];
    }
    counter->executed[slot] += counter->block_counts[slot];
    counter->totals[counter->part] += counter->block_counts[slot];
    counter->read(emulator, counter->stack_register, &pointer);
    if ((uint32_t)pointer < counter->deepest) {
        counter->deepest = (uint32_t)pointer;
    }
}
