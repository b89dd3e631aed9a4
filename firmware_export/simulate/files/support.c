/* What a C compiler expects to find: the memory functions, and on a Cortex-M0+, which has no divider, no counting of
 * leading zeros and multiplies 32 x 32 bits to 32 only, the helpers that stand for these instructions (their names and
 * meaning: Arm's "Run-time ABI for the Arm Architecture", IHI 0043, section 4). A firmware has them from its C library;
 * their instructions and bytes are counted like any others. */
#include <stddef.h>
#include <stdint.h>

#include "string.h"

typedef uint32_t word __attribute__((may_alias));

static int words_fit(const void *one, const void *other)
{
    return (((uintptr_t)one | (uintptr_t)other) & 3u) == 0;
}

/* Upwards; every word is loaded before a lower one is stored, so the target may overlap what lies above it. */
static void copy_up(uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (words_fit(to, from)) {
        for (; bytes >= 16; bytes -= 16, to += 16, from += 16) {
            const word a = ((const word *)from)[0];
            const word b = ((const word *)from)[1];
            const word c = ((const word *)from)[2];
            const word d = ((const word *)from)[3];
            ((word *)to)[0] = a;
            ((word *)to)[1] = b;
            ((word *)to)[2] = c;
            ((word *)to)[3] = d;
        }
        for (; bytes >= 4; bytes -= 4, to += 4, from += 4) {
            *(word *)to = *(const word *)from;
        }
    }
    for (; bytes > 0; --bytes) {
        *to++ = *from++;
    }
}

static void copy_down(uint8_t *to, const uint8_t *from, size_t bytes)
{
    to += bytes;
    from += bytes;
    if (words_fit(to, from)) {
        for (; bytes >= 4; bytes -= 4) {
            to -= 4;
            from -= 4;
            *(word *)to = *(const word *)from;
        }
    }
    for (; bytes > 0; --bytes) {
        *--to = *--from;
    }
}

void *memcpy(void *restrict target, const void *restrict source, size_t bytes)
{
    copy_up(target, source, bytes);
    return target;
}

void *memmove(void *target, const void *source, size_t bytes)
{
    if ((uintptr_t)target - (uintptr_t)source >= bytes) {
        copy_up(target, source, bytes);
    } else {
        copy_down(target, source, bytes);
    }
    return target;
}

void *memset(void *target, int value, size_t bytes)
{
    uint8_t *to = target;
    const word four = (uint8_t)value * 0x01010101u;
    for (; bytes > 0 && ((uintptr_t)to & 3u) != 0; --bytes) {
        *to++ = (uint8_t)value;
    }
    for (; bytes >= 4; bytes -= 4, to += 4) {
        *(word *)to = four;
    }
    for (; bytes > 0; --bytes) {
        *to++ = (uint8_t)value;
    }
    return target;
}

#if defined(__ARM_ARCH)

/* The compiler may call the memory functions by these names; memset's last two arguments change places. */
void *__aeabi_memcpy(void *target, const void *source, size_t bytes)
{
    return memcpy(target, source, bytes);
}

void *__aeabi_memcpy4(void *target, const void *source, size_t bytes)
{
    return memcpy(target, source, bytes);
}

void *__aeabi_memcpy8(void *target, const void *source, size_t bytes)
{
    return memcpy(target, source, bytes);
}

void *__aeabi_memmove(void *target, const void *source, size_t bytes)
{
    return memmove(target, source, bytes);
}

void *__aeabi_memmove4(void *target, const void *source, size_t bytes)
{
    return memmove(target, source, bytes);
}

void __aeabi_memset(void *target, size_t bytes, int value)
{
    (void)memset(target, value, bytes);
}

void __aeabi_memclr(void *target, size_t bytes)
{
    (void)memset(target, 0, bytes);
}

void __aeabi_memclr4(void *target, size_t bytes)
{
    (void)memset(target, 0, bytes);
}

void __aeabi_memclr8(void *target, size_t bytes)
{
    (void)memset(target, 0, bytes);
}

#endif

#if defined(__ARM_ARCH) && __ARM_ARCH < 7

typedef union {
    uint64_t whole;
    struct {
        uint32_t low;
        uint32_t high;
    } half;
} wide;

int32_t __clzsi2(uint32_t value)
{
    int32_t zeros = 0;
    uint32_t step;
    if (value == 0) {
        return 32;
    }
    for (step = 16; step > 0; step >>= 1) {
        if ((value >> (32 - step)) == 0) {
            value <<= step;
            zeros += (int32_t)step;
        }
    }
    return zeros;
}

int32_t __clzdi2(uint64_t value)
{
    const uint32_t high = (uint32_t)(value >> 32);
    return high != 0 ? __clzsi2(high) : 32 + __clzsi2((uint32_t)value);
}

/* 64 x 64 bits to 64: four products of 16 bits make the lower halves' one. */
uint64_t __aeabi_lmul(uint64_t first, uint64_t second)
{
    const wide a = {first};
    const wide b = {second};
    wide product;
    const uint32_t a0 = a.half.low & 0xffffu;
    const uint32_t a1 = a.half.low >> 16;
    const uint32_t b0 = b.half.low & 0xffffu;
    const uint32_t b1 = b.half.low >> 16;
    const uint32_t low = a0 * b0;
    const uint32_t middle = a1 * b0 + (low >> 16);
    const uint32_t other = a0 * b1 + (middle & 0xffffu);
    product.half.low = (low & 0xffffu) | (other << 16);
    product.half.high = a1 * b1 + (middle >> 16) + (other >> 16) + a.half.low * b.half.high + a.half.high * b.half.low;
    return product.whole;
}

uint64_t __aeabi_llsl(uint64_t value, int32_t shift)
{
    wide a = {value};
    if (shift >= 32) {
        a.half.high = a.half.low << (shift - 32);
        a.half.low = 0;
    } else if (shift > 0) {
        a.half.high = (a.half.high << shift) | (a.half.low >> (32 - shift));
        a.half.low <<= shift;
    }
    return a.whole;
}

uint64_t __aeabi_llsr(uint64_t value, int32_t shift)
{
    wide a = {value};
    if (shift >= 32) {
        a.half.low = a.half.high >> (shift - 32);
        a.half.high = 0;
    } else if (shift > 0) {
        a.half.low = (a.half.low >> shift) | (a.half.high << (32 - shift));
        a.half.high >>= shift;
    }
    return a.whole;
}

int64_t __aeabi_lasr(int64_t value, int32_t shift)
{
    wide a = {(uint64_t)value};
    if (shift >= 32) {
        a.half.low = (uint32_t)((int32_t)a.half.high >> (shift - 32));
        a.half.high = (uint32_t)((int32_t)a.half.high >> 31);
    } else if (shift > 0) {
        a.half.low = (a.half.low >> shift) | (a.half.high << (32 - shift));
        a.half.high = (uint32_t)((int32_t)a.half.high >> shift);
    }
    return (int64_t)a.whole;
}

/* Quotient in the low word, remainder in the high one: r0 and r1. */
uint64_t __aeabi_uidivmod(uint32_t dividend, uint32_t divisor)
{
    wide result = {0};
    uint32_t bit = 1;
    if (divisor == 0) {
        return 0;
    }
    while (divisor < dividend && (divisor & 0x80000000u) == 0) {
        divisor <<= 1;
        bit <<= 1;
    }
    for (; bit > 0; bit >>= 1, divisor >>= 1) {
        if (dividend >= divisor) {
            dividend -= divisor;
            result.half.low |= bit;
        }
    }
    result.half.high = dividend;
    return result.whole;
}

uint32_t __aeabi_uidiv(uint32_t dividend, uint32_t divisor)
{
    return (uint32_t)__aeabi_uidivmod(dividend, divisor);
}

uint64_t __aeabi_idivmod(int32_t dividend, int32_t divisor)
{
    const uint32_t n = dividend < 0 ? 0u - (uint32_t)dividend : (uint32_t)dividend;
    const uint32_t d = divisor < 0 ? 0u - (uint32_t)divisor : (uint32_t)divisor;
    wide result;
    result.whole = __aeabi_uidivmod(n, d);
    if ((dividend < 0) != (divisor < 0)) {
        result.half.low = 0u - result.half.low;
    }
    if (dividend < 0) {
        result.half.high = 0u - result.half.high;
    }
    return result.whole;
}

int32_t __aeabi_idiv(int32_t dividend, int32_t divisor)
{
    return (int32_t)(uint32_t)__aeabi_idivmod(dividend, divisor);
}

#endif
