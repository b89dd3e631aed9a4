/* The bundle's network alone, for verification on a computer: int8 features on standard input, int8 logits on standard
 * output, then the arena. With the argument "resume" the input begins with the arena that the last run wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws_model.h"

static int run(int8_t *arena, int resume)
{
    const kws_graph_t *graph = kws_model.graph;
    const size_t arena_bytes = (size_t)graph->arena_bytes;
    const size_t input_bytes = (size_t)graph->stride * (size_t)graph->bands;
    const size_t output_bytes = (size_t)graph->outputs;
    if (kws_graph_check(graph) != KWS_GRAPH_OK) {
        return 3;
    }
    kws_graph_reset(graph, arena);
    if (resume && fread(arena, 1, arena_bytes, stdin) != arena_bytes) {
        return 4;
    }
    while (fread(arena + graph->input, 1, input_bytes, stdin) == input_bytes) {
        kws_graph_step(graph, arena);
        if (fwrite(arena + graph->output, 1, output_bytes, stdout) != output_bytes) {
            return 5;
        }
    }
    return fwrite(arena, 1, arena_bytes, stdout) == arena_bytes && fflush(stdout) == 0 ? 0 : 5;
}

int main(int argc, char **argv)
{
    int8_t *arena = malloc((size_t)kws_model.graph->arena_bytes);
    const int status = arena == NULL ? 6 : run(arena, argc > 1 && strcmp(argv[1], "resume") == 0);
    free(arena);
    return status;
}
