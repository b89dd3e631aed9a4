/* The instructions of a Cortex-M4, M7, M33 or M55 for two 16-bit halves of a word at once, where they are there: then
 * KWS_DSP is defined, unless KWS_NO_DSP is. What is computed with them is what is computed without, bit for bit. Words
 * are read from any address, which these processors do unless the firmware traps it (CCR.UNALIGN_TRP). Not an
 * interface. */
#ifndef KWS_DSP_H
#define KWS_DSP_H

#include "kws_compiler.h"

#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__thumb__) && !defined(__ARM_BIG_ENDIAN) && \
    !defined(KWS_NO_DSP)
#define KWS_DSP

#include <stdint.h>

/* Where a local variable lies that is an operand of a loop of assembly. Such a loop takes all registers but r7 and r9,
 * which may be the frame's and the platform's. gcc gives them away one by one and, on a processor that has an FPU's
 * beside them, comes to an end before the last operand ("impossible constraints"): it is told. clang plans for all of
 * them at once, better than we would. Until the assembly nothing may be called: a call keeps r4 to r11 alone. */
#if defined(__clang__)
#define KWS_IN(name)
#else
#define KWS_IN(name) __asm__(name)
#endif

/* A number that compilers would otherwise compute anew in every round of a loop. */
static inline int32_t kws_in_register(int32_t value)
{
    __asm__("" : "+r"(value));
    return value;
}

/* Four bytes from anywhere: one load, these processors read words from any address. */
static inline uint32_t kws_load_word(const void *bytes)
{
    uint32_t word;
    __builtin_memcpy(&word, bytes, sizeof word);
    return word;
}

/* Two words from a multiple of four, in one load that moves the address on. */
#define KWS_LOAD_TWO(first, second, address) \
    __asm__ volatile("ldrd %0, %1, [%2], #8" : "=&r"(first), "=&r"(second), "+&r"(address) : : "memory")

/* The same, and the address stays. */
#define KWS_LOAD_TWO_AT(first, second, address) \
    __asm__ volatile("ldrd %0, %1, [%2]" : "=&r"(first), "=&r"(second) : "r"(address) : "memory")

/* Two words to a multiple of four likewise. */
#define KWS_STORE_TWO(first, second, address) \
    __asm__ volatile("strd %1, %2, [%0], #8" : "+&r"(address) : "r"(first), "r"(second) : "memory")

/* Bytes 0 and 2, sign extended to the two halves. */
static inline uint32_t kws_widen_even(uint32_t bytes)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(bytes));
    return halves;
}

/* Bytes 1 and 3. */
static inline uint32_t kws_widen_odd(uint32_t bytes)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
    return halves;
}

/* A product of two halves. */
static inline int32_t kws_product_of_low(uint32_t a, uint32_t b)
{
    int32_t result;
    __asm__("smulbb %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

static inline int32_t kws_product_of_high(uint32_t a, uint32_t b)
{
    int32_t result;
    __asm__("smultt %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* sum + a product of two halves. */
static inline int32_t kws_multiply_low(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline int32_t kws_multiply_high_by_low(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smlatb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline int32_t kws_multiply_high_by_high(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* The low half of each, the first one's lower. */
static inline uint32_t kws_low_halves(uint32_t first, uint32_t second)
{
    uint32_t halves;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(first), "r"(second));
    return halves;
}

/* sum + a * b / 2^32, rounded to nearest, ties up. */
static inline int32_t kws_multiply_high(int32_t a, int32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* Clamped to -128 .. 127. */
static inline int32_t kws_saturate_byte(int32_t value)
{
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
}

/* 2^(32 - exponent), exponent in the low byte of a word, 1 .. 31. */
static inline int32_t kws_power_below(uint32_t exponent)
{
    uint32_t result;
    __asm__("ror %0, %1, %2" : "=r"(result) : "r"(UINT32_C(1)), "r"(exponent));
    return (int32_t)result;
}

#endif
#endif
