/* A detector on QEMU's mps2-an386 (a Cortex-M4): prints what every step gives, then how long the same audio takes when
 * nothing is printed. Output and exit are Arm's semihosting (a breakpoint that the emulator serves); with `-icount
 * shift=0` an instruction takes a nanosecond, and the system timer of 25 MHz counts one tick in 40 of them. */
#include "kws_model.h"

extern const int16_t *const qemu_samples;
extern const uint32_t qemu_sample_count;
extern const uint16_t *const qemu_thresholds;

#define SYS_WRITE0 0x04u
#define SYS_EXIT 0x18u
#define STOPPED_BY_APPLICATION 0x20026u
#define STOPPED_BY_ERROR 0x20023u
#define STACK_TOP 0x20400000u

#define TIMER_CONTROL (*(volatile uint32_t *)0xe000e010u)
#define TIMER_RELOAD (*(volatile uint32_t *)0xe000e014u)
#define TIMER_VALUE (*(volatile uint32_t *)0xe000e018u)
#define TIMER_MASK 0xffffffu

void reset(void);
void fault(void);

__attribute__((section(".vectors"), used)) const uintptr_t vectors[8] = {
    STACK_TOP,        (uintptr_t)reset, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault,
};

static uint64_t memory[(KWS_MODEL_MEMORY_BYTES + 7) / 8];

static void semihost(uint32_t operation, uintptr_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

/* A letter and eight hexadecimal digits, a line. */
static void print(char letter, uint32_t value)
{
    static const char digits[] = "0123456789abcdef";
    char line[11];
    int32_t i;
    line[0] = letter;
    for (i = 0; i < 8; ++i) {
        line[1 + i] = digits[(value >> (28 - 4 * i)) & 15u];
    }
    line[9] = '\n';
    line[10] = '\0';
    semihost(SYS_WRITE0, (uintptr_t)line);
}

static void print_step(const kws_t *kws)
{
    int32_t i;
    for (i = 0; i < (int32_t)kws_model.graph->outputs; ++i) {
        print('l', (uint32_t)kws_logits(kws)[i]);
    }
    for (i = 0; i < (int32_t)kws_model.detector->phrases; ++i) {
        print('s', (uint32_t)kws_score(kws, i));
    }
}

/* Feeds all audio a hop at a time; returns the timer's ticks meanwhile. */
static uint32_t run(kws_t *kws, int printing)
{
    const uint32_t hop = kws_model.frontend->hop_samples;
    kws_detection_t detection;
    uint32_t ticks = 0;
    uint32_t at;
    uint32_t before;
    kws_reset(kws);
    before = TIMER_VALUE;
    for (at = 0; at < qemu_sample_count; at += hop) {
        const uint32_t left = qemu_sample_count - at;
        const uint32_t steps = kws_steps(kws);
        uint32_t now;
        (void)kws_feed(kws, qemu_samples + at, left < hop ? left : hop, &detection, 1);
        if (printing && kws_steps(kws) != steps) {
            print_step(kws);
        }
        now = TIMER_VALUE; /* counts down */
        ticks += (before - now) & TIMER_MASK;
        before = now;
    }
    return ticks;
}

void reset(void)
{
    kws_t *kws;
    int32_t i;
    TIMER_RELOAD = TIMER_MASK;
    TIMER_VALUE = 0;
    TIMER_CONTROL = 5; /* on, from the processor's clock, no interrupt */
    if (kws_init(&kws, &kws_model, memory, sizeof memory) != KWS_OK) {
        fault();
    }
    for (i = 0; i < (int32_t)kws_model.detector->phrases; ++i) {
        (void)kws_set_threshold(kws, i, qemu_thresholds[i]);
    }
    (void)run(kws, 1);
    print('t', run(kws, 0));
    semihost(SYS_EXIT, STOPPED_BY_APPLICATION);
    for (;;) {
    }
}

void fault(void)
{
    semihost(SYS_EXIT, STOPPED_BY_ERROR);
    for (;;) {
    }
}
