/* A stand-in for libcuda.so.1: it lists devices in its own order and makes empty contexts.
 *
 * FAKE_CUDA_UUIDS   the UUIDs of all cards, fastest first, separated by spaces (hyphens and GPU- are skipped)
 * CUDA_VISIBLE_DEVICES as in the real one: indices into that order, or GPU-<uuid>; unset shows all
 * FAKE_CUDA_LOG     a file that gets one line per context: the UUID it was made on
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 16 };
static char all[MAX][33], shown[MAX][33];
static int all_count, shown_count;

static void digits(const char *text, char *out) {
    int n = 0;
    if (!strncmp(text, "GPU-", 4)) text += 4;
    for (; *text && n < 32; text++)
        if (isxdigit((unsigned char)*text)) out[n++] = (char)tolower((unsigned char)*text);
    out[n] = 0;
}

int cuInit(unsigned flags) {
    (void)flags;
    char text[2048];
    const char *cards = getenv("FAKE_CUDA_UUIDS"), *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!cards) return 100; /* no device */
    all_count = shown_count = 0;
    snprintf(text, sizeof text, "%s", cards);
    for (char *word = strtok(text, " "); word && all_count < MAX; word = strtok(NULL, " ")) digits(word, all[all_count++]);
    if (!visible) {
        memcpy(shown, all, sizeof all);
        shown_count = all_count;
        return shown_count ? 0 : 100;
    }
    snprintf(text, sizeof text, "%s", visible);
    for (char *word = strtok(text, ","); word && shown_count < MAX; word = strtok(NULL, ",")) {
        char wanted[33];
        digits(word, wanted);
        int found = -1;
        for (int i = 0; i < all_count; i++)
            if (!strncmp(word, "GPU-", 4) ? !strncmp(all[i], wanted, strlen(wanted)) : i == atoi(word)) found = i;
        if (found < 0) break;
        strcpy(shown[shown_count++], all[found]);
    }
    return shown_count ? 0 : 100;
}
int cuDeviceGetCount(int *n) { *n = shown_count; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return index < shown_count ? 0 : 101; }
int cuDeviceGetUuid_v2(unsigned char *out, int device) {
    for (int i = 0; i < 16; i++) sscanf(shown[device] + 2 * i, "%2hhx", &out[i]);
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    const char *path = getenv("FAKE_CUDA_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) fprintf(file, "%s\n", shown[device]), fclose(file);
    *context = (void *)8;
    return 0;
}
