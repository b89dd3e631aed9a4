/* What compilers that know it are told: where registers are short, and where speed is not what counts. Nothing of it
 * changes a number. Not an interface. */
#ifndef KWS_COMPILER_H
#define KWS_COMPILER_H

/* Keeps a loop in a function of its own, so that it has the registers to itself. */
#if defined(__GNUC__)
#define KWS_NOT_INLINE __attribute__((noinline))
#else
#define KWS_NOT_INLINE
#endif

/* A function that is called rarely, or waits for others: as few bytes as can be. A PC has enough of them. */
#if defined(KWS_HOST) || !defined(__GNUC__)
#define KWS_SMALL
#elif defined(__clang__)
#define KWS_SMALL __attribute__((minsize))
#else
#define KWS_SMALL __attribute__((cold))
#endif

/* Before a loop whose body is not to be repeated: it would not fit the registers of a small processor, or is not worth
 * the bytes. */
#if defined(__clang__) && !defined(KWS_HOST)
#define KWS_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define KWS_ROLLED
#endif

#endif
