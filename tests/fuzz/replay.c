/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target without libFuzzer: over its corpus, and over changes of it that are the
 * same in every run. Speaks TAP. Arguments: folders, instead of the target's own corpus. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

enum { INPUT_MAX = 1 << 16, INPUTS_MAX = 500, ROUNDS_MAX = 20000, MILLISECONDS_MAX = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    uint8_t *data;
    size_t size;
} inputs[INPUTS_MAX];
static size_t count;

static void add_file(const char *path)
{
    FILE *file = fopen(path, "re");

    if (file == NULL || count == INPUTS_MAX) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    inputs[count].data = malloc(INPUT_MAX);
    inputs[count].size = fread(inputs[count].data, 1, INPUT_MAX, file);
    fclose(file);
    count++;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_folder(const char *folder)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, by_name);

    for (int i = 0; i < n; i++) {
        char path[4096];

        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            add_file(path);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

/* One of the inputs with some bytes changed, removed, or put in from another input. */
static size_t change(uint8_t *out, unsigned *seed)
{
    size_t which = (size_t)rand_r(seed) % count, size = inputs[which].size;

    memcpy(out, inputs[which].data, size);
    for (int changes = rand_r(seed) % 6; changes >= 0 && size > 0; changes--) {
        size_t at = (size_t)rand_r(seed) % size, other = (size_t)rand_r(seed) % count;
        size_t length = (size_t)rand_r(seed) % 16;

        switch (rand_r(seed) % 3) {
        case 0:
            out[at] = (uint8_t)rand_r(seed);
            break;
        case 1:
            length = length < size - at ? length : size - at;
            memmove(out + at, out + at + length, size - at - length);
            size -= length;
            break;
        default:
            if (length > inputs[other].size || size + length > INPUT_MAX)
                break;
            memmove(out + at + length, out + at, size - at);
            memcpy(out + at, inputs[other].data + inputs[other].size - length, length);
            size += length;
        }
    }
    return size;
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '_');
    uint8_t *changed = malloc(INPUT_MAX);
    int64_t until = clock_mono_ms() + MILLISECONDS_MAX;
    unsigned seed = 20261125;
    char folder[4096];
    int rounds = 0;

    snprintf(folder, sizeof folder, AGW_SOURCE_DIR "/tests/fuzz/corpus/%s",
             name == NULL ? "" : name + 1);
    for (int i = 1; i < argc; i++)
        add_folder(argv[i]);
    if (argc == 1)
        add_folder(folder);
    if (count == 0 || changed == NULL) {
        fprintf(stderr, "no corpus in %s\n", folder);
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        LLVMFuzzerTestOneInput(inputs[i].data, inputs[i].size);
    for (; rounds < ROUNDS_MAX && clock_mono_ms() < until; rounds++)
        LLVMFuzzerTestOneInput(changed, change(changed, &seed));
    for (size_t i = 0; i < count; i++)
        free(inputs[i].data);
    free(changed);
    printf("1..1\nok 1 - %zu inputs and %d changes of them\n", count, rounds);
    return 0;
}
