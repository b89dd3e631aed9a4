/* Inputs times the weights of every output channel: the inner loops of convolutions. kws/graph/layout.py says how two
 * or four channels share an int16, and how their sums come apart. */
#include "kws_dsp.h"
#include "kws_ops_kernels.h"

/* sum + part / 2^bits, the part being a multiple. */
static inline int32_t add_part(int32_t sum, int32_t part, int32_t bits)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(part >> bits));
}

/* Of a row of 4-bit weights: the products with all 16 bits, 16 times those with the low 12, those with the low 8, 4096
 * times those with the low 4. */
typedef struct {
    int32_t sixteen;
    int32_t twelve;
    int32_t eight;
    int32_t four;
} parts_t;

/* base + the sums of the row's four channels. */
static inline void add_quad(parts_t parts, const int32_t *base, int32_t *sums)
{
    const int32_t twelve = add_part(0, parts.twelve, 4);
    const int32_t four = add_part(0, parts.four, 12);
    sums[0] = add_part(base[0], parts.sixteen - twelve, 12);
    sums[1] = add_part(base[1], twelve - parts.eight, 8);
    sums[2] = add_part(base[2], parts.eight - four, 4);
    sums[3] = add_part(base[3], four, 0);
}

#ifdef KWS_DSP

/* The inner loops are written out: compilers keep some of so many values in memory. A group of inputs by two rows of
 * 8-bit weights: a word of weights meets its two inputs whole, then with its low bytes alone. */
#define PAIRS_OF_A_GROUP                 \
    "ldrd %[x0], %[x1], [%[x]], #8\n"    \
    "ldrd %[w0], %[w1], [%[w]], #8\n"    \
    "smlad %[b0], %[x0], %[w0], %[b0]\n" \
    "sxtb16 %[w0], %[w0]\n"              \
    "smlad %[o1], %[x0], %[w0], %[o1]\n" \
    "smlad %[b0], %[x1], %[w1], %[b0]\n" \
    "sxtb16 %[w1], %[w1]\n"              \
    "smlad %[o1], %[x1], %[w1], %[o1]\n" \
    "ldrd %[w0], %[w1], [%[v]], #8\n"    \
    "smlad %[b2], %[x0], %[w0], %[b2]\n" \
    "sxtb16 %[w0], %[w0]\n"              \
    "smlad %[o3], %[x0], %[w0], %[o3]\n" \
    "smlad %[b2], %[x1], %[w1], %[b2]\n" \
    "sxtb16 %[w1], %[w1]\n"              \
    "smlad %[o3], %[x1], %[w1], %[o3]\n"

/* Two groups in a round; an odd number of them starts with the second one. */
#define PAIRS_OF_TWO_ROWS                                                \
    "tst %[x0], #4\n"                                                    \
    "bne 2f\n"                                                           \
    "1:\n" PAIRS_OF_A_GROUP "2:\n" PAIRS_OF_A_GROUP "cmp %[x], %[end]\n" \
    "blo 1b\n"

void kws_dot_pairs(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                   const int32_t *base, int32_t *sums)
{
    for (; rows > 0; rows -= 2) {
        /* the last one of an odd number of rows is its own partner; its sums go where no channel's are */
        const int16_t *partner = rows > 1 ? weights + row_inputs : weights;
        register const int16_t *x KWS_IN("r0") = inputs;
        register const int16_t *end KWS_IN("r1") = inputs + count;
        register const int16_t *first KWS_IN("r2") = weights;
        register const int16_t *second KWS_IN("r3") = partner;
        register uint32_t both0 KWS_IN("r4") = 0;
        register uint32_t both2 KWS_IN("r5") = 0;
        register uint32_t odd1 KWS_IN("r6") = 0;
        register uint32_t odd3 KWS_IN("r8") = 0;
        register uint32_t x0 KWS_IN("r10") = (uint32_t)count;
        register uint32_t x1 KWS_IN("r11");
        register uint32_t w0 KWS_IN("r12");
        register uint32_t w1 KWS_IN("lr");
        int32_t sum0, sum1, sum2, sum3;
        __asm__ volatile(
            PAIRS_OF_TWO_ROWS
            : [x] "+&r"(x), [w] "+&r"(first), [v] "+&r"(second), [b0] "+&r"(both0), [o1] "+&r"(odd1), [b2] "+&r"(both2),
              [o3] "+&r"(odd3), [x0] "+&r"(x0), [x1] "=&r"(x1), [w0] "=&r"(w0), [w1] "=&r"(w1)
            : [end] "r"(end)
            : "cc", "memory");
        weights = partner + row_inputs;
        KWS_LOAD_TWO(sum0, sum1, base);
        KWS_LOAD_TWO(sum2, sum3, base);
        KWS_STORE_TWO(add_part(sum0, (int32_t)(both0 - odd1), 8), add_part(sum1, (int32_t)odd1, 0), sums);
        KWS_STORE_TWO(add_part(sum2, (int32_t)(both2 - odd3), 8), add_part(sum3, (int32_t)odd3, 0), sums);
    }
}

/* A group of inputs by a row of 4-bit weights: a word meets its two inputs whole, with the low 12 bits of each half,
 * with the low 8, and with the low 4. */
#define QUADS_OF_TWO_INPUTS(x)             \
    "ldr %[w0], [%[w]], #4\n"              \
    "smlad %[all], " x ", %[w0], %[all]\n" \
    "and %[t], %[m12], %[w0], lsl #4\n"    \
    "smlad %[b3], " x ", %[t], %[b3]\n"    \
    "sxtb16 %[t], %[w0]\n"                 \
    "smlad %[b2], " x ", %[t], %[b2]\n"    \
    "and %[t], %[m4], %[w0], lsl #12\n"    \
    "smlad %[b1], " x ", %[t], %[b1]\n"

#define QUADS_OF_A_GROUP "ldrd %[x0], %[x1], [%[x]], #8\n" QUADS_OF_TWO_INPUTS("%[x0]") QUADS_OF_TWO_INPUTS("%[x1]")

#define QUADS_OF_FOUR_GROUPS \
    "1:\n" QUADS_OF_A_GROUP "2:\n" QUADS_OF_A_GROUP "3:\n" QUADS_OF_A_GROUP "4:\n" QUADS_OF_A_GROUP

/* The first round has as many groups as remain beside whole ones: 4 * groups mod 16 goes to carry and sign. */
#define QUADS_OF_A_ROW                              \
    "lsls %[x1], %[x0], #29\n"                      \
    "bcs 5f\n"                                      \
    "bmi 4f\n"                                      \
    "b 1f\n"                                        \
    "5: bmi 2f\n"                                   \
    "b 3f\n" QUADS_OF_FOUR_GROUPS "sub %[m4], #1\n" \
    "tst %[m4], #255\n"                             \
    "bne 1b\n"

void kws_dot_quads(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                   const int32_t *base, int32_t *sums)
{
    for (; rows > 0; --rows) {
        const uint32_t rounds = ((uint32_t)count + 3 * KWS_INPUTS) / (4 * KWS_INPUTS);
        parts_t parts;
        register const int16_t *x KWS_IN("r0") = inputs;
        register const int16_t *w KWS_IN("r1") = weights;
        register uint32_t m12 KWS_IN("r2") = UINT32_C(0xFFF0FFF0);
        /* the mask of the low 4 bits meets zeros below: there the rounds of four groups are counted */
        register uint32_t lowest KWS_IN("r3") = UINT32_C(0xF000F000) + rounds;
        register int32_t sixteen KWS_IN("r4") = 0;
        register int32_t twelve KWS_IN("r5") = 0;
        register int32_t eight KWS_IN("r6") = 0;
        register int32_t four KWS_IN("r8") = 0;
        register uint32_t x0 KWS_IN("r10") = (uint32_t)count;
        register uint32_t x1 KWS_IN("r11");
        register uint32_t w0 KWS_IN("r12");
        register uint32_t t KWS_IN("lr");
        __asm__ volatile(
            QUADS_OF_A_ROW
            : [x] "+&r"(x), [w] "+&r"(w), [all] "+&r"(sixteen), [b3] "+&r"(twelve), [b2] "+&r"(eight), [b1] "+&r"(four),
              [x0] "+&r"(x0), [x1] "=&r"(x1), [w0] "=&r"(w0), [t] "=&r"(t), [m4] "+&r"(lowest)
            : [m12] "r"(m12)
            : "cc", "memory");
        parts.sixteen = sixteen;
        parts.twelve = twelve;
        parts.eight = eight;
        parts.four = four;
        weights += row_inputs;
        add_quad(parts, base, sums);
        base += 4;
        sums += 4;
    }
}

#else

/* sums[0 .. 1] = base[0 .. 1] + the products of the inputs with a row. */
KWS_VECTORISED static void dot_pair(const int16_t *restrict inputs, int32_t count, const int16_t *restrict weights,
                                    const int32_t *base, int32_t *restrict sums)
{
    int32_t both = 0;
    int32_t odd = 0;
    int32_t i;
    KWS_ROLLED
    for (i = 0; i < count; ++i) {
        both += inputs[i] * weights[i];
        odd += inputs[i] * (int16_t)(int8_t)weights[i];
    }
    sums[0] = add_part(base[0], both - odd, 8);
    sums[1] = add_part(base[1], odd, 0);
}

void kws_dot_pairs(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                   const int32_t *base, int32_t *sums)
{
    for (; rows > 0; --rows) {
        dot_pair(inputs, count, weights, base, sums);
        weights += row_inputs;
        base += 2;
        sums += 2;
    }
}

KWS_VECTORISED static parts_t dot_row(const int16_t *restrict inputs, int32_t count, const int16_t *restrict weights)
{
    parts_t parts = {0, 0, 0, 0};
    int32_t sixteen = 0;
    int32_t twelve = 0;
    int32_t eight = 0;
    int32_t four = 0;
    int32_t i;
    KWS_ROLLED
    for (i = 0; i < count; ++i) {
        const uint32_t bits = (uint16_t)weights[i];
        sixteen += inputs[i] * weights[i];
        twelve += inputs[i] * (int16_t)(uint16_t)(bits << 4);
        eight += inputs[i] * (int16_t)(int8_t)bits;
        four += inputs[i] * (int16_t)(uint16_t)(bits << 12);
    }
    parts.sixteen = sixteen;
    parts.twelve = twelve;
    parts.eight = eight;
    parts.four = four;
    return parts;
}

void kws_dot_quads(const int16_t *inputs, int32_t count, const int16_t *weights, int32_t row_inputs, int32_t rows,
                   const int32_t *base, int32_t *sums)
{
    for (; rows > 0; --rows) {
        add_quad(dot_row(inputs, count, weights), base, sums);
        weights += row_inputs;
        base += 4;
        sums += 4;
    }
}

#endif
