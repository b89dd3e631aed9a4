/* The self-test on a board that QEMU emulates: ends with status 0, or prints what differs. Output and exit are Arm's
 * semihosting; the boards have RAM from 0x20000000 on, 512 KB or more of it. */
#include "kws_selftest.h"

#define SYS_WRITE0 0x04u
#define SYS_EXIT 0x18u
#define STOPPED_BY_APPLICATION 0x20026u
#define STOPPED_BY_ERROR 0x20023u
#define STACK_TOP 0x20080000u

#define COPROCESSORS (*(volatile uint32_t *)0xe000ed88u)
#define FLOATING_POINT (0xfu << 20) /* a Cortex-M55's shifts of 64 bits belong to it, too */

void reset(void);
void fault(void);

__attribute__((section(".vectors"), used)) const uintptr_t vectors[8] = {
    STACK_TOP,        (uintptr_t)reset, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault,
};

static uint64_t memory[KWS_SELFTEST_MEMORY_BYTES / 8];

static void semihost(uint32_t operation, uintptr_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void fault(void)
{
    semihost(SYS_EXIT, STOPPED_BY_ERROR);
    for (;;) {
    }
}

void reset(void)
{
    kws_selftest_result_t result;
    COPROCESSORS |= FLOATING_POINT;
    if (kws_selftest(memory, sizeof memory, &result) != 0) {
        semihost(SYS_WRITE0, (uintptr_t)result.what);
        fault();
    }
    semihost(SYS_EXIT, STOPPED_BY_APPLICATION);
    for (;;) {
    }
}
