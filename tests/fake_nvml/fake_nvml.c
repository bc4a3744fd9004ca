/* A stand-in for libnvidia-ml.so.1 that plays a programmed power trace, for tests and benchmarks without a GPU.
 *
 * FAKE_NVML_FILE names a text file, one "key value..." per line:
 *   start_ns N            monotonic nanoseconds at which the traces begin
 *   init_error CODE       nvmlInit fails with CODE
 *   driver TEXT
 *   gpu UUID              begins a card; everything below belongs to it
 *   name TEXT | bus ID | offset_mj N | temperature C | throttle MASK | limit_mw N | persistence 0|1 | arch N
 *   counter 0|1           whether the energy counter exists (absent: NOT_SUPPORTED)
 *   fields 0|1            whether field values 185/186 exist
 *   usage_average 0|1     nvmlDeviceGetPowerUsage averages over the last second
 *   period_ms X           update period of the counter     sensor_ms X   update period of the power sensor
 *   step_mj N             step of the counter
 *   lost_at_s X | reset_at_s X | denied 0|1 | stuck 0|1 | gain X (counter reads gain times the true energy)
 *   stall_at_s X | stall_s Y   the first counter read after X returns its value Y seconds late (a starved reader)
 *   counter_ms X          CPU time that a reading of the counter takes (5 ms on an H100 with driver 580)
 *   fail FUNCTION CODE    (before the cards) every call of FUNCTION, without its version, returns CODE
 *   says_w W FROM TO      the power sensor says W (a number of watts) from FROM to TO seconds
 *   jump_j J AT           the counter gains J joules at AT seconds
 *   stands FROM TO BACK   the counter stands still from FROM to TO; BACK 1: it then shows what was drawn meanwhile
 *   pids P P ...          compute processes
 *   mig UUID UUID ...     MIG is on, with these slices
 *   constant W | square HZ LOW HIGH DUTY | points T:W T:W ... (linear, held at the ends)
 *
 * Types are restated here, so that no vendor header is needed; values follow NVIDIA's NVML reference.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, SMALL = 7, LOST = 15 };
enum { MAX_GPUS = 8, MAX_POINTS = 512, MAX_MIGS = 7, MAX_PIDS = 16 };

typedef struct {
    char uuid[96], name[96], bus[32], migs[MAX_MIGS][96];
    int has_counter, has_fields, usage_average, denied, stuck, mig_count, pid_count, persistence, arch;
    unsigned pids[MAX_PIDS], temperature, limit_mw;
    unsigned long long offset_mj, step_mj, throttle;
    double period_s, sensor_s, lost_at_s, reset_at_s, gain, stall_at_s, stall_s, counter_s;
    double says_w, says_from, says_to, jump_j, jump_at, stands_from, stands_to;
    int makes_up;
    int shape; /* 0 constant, 1 square, 2 points */
    double hz, low_w, high_w, duty;
    int points;
    double t[MAX_POINTS], w[MAX_POINTS], e[MAX_POINTS];
} Gpu;

typedef struct {
    int gpu, mig;
} Handle;

static Gpu gpus[MAX_GPUS];
static Handle whole[MAX_GPUS], slices[MAX_GPUS][MAX_MIGS];
static int gpu_count, init_error;
static long long start_ns;
static char driver[64] = "550.54.15";
static struct { char name[64]; int code; } failing[64];
static int failing_count;

static int failure(const char *function) {
    for (int i = 0; i < failing_count; i++) {
        size_t n = strlen(failing[i].name);
        if (!strncmp(function, failing[i].name, n) && (!function[n] || !strncmp(function + n, "_v", 2))) return failing[i].code;
    }
    return OK;
}
#define MAY_FAIL do { int code_ = failure(__func__); if (code_) return code_; } while (0)

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((long long)t.tv_sec * 1000000000LL + t.tv_nsec - start_ns) * 1e-9;
}

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void busy(double seconds) {
    double end = cpu_s() + seconds;
    while (cpu_s() < end) {}
}

static double power_w(const Gpu *g, double t) {
    if (g->shape == 1) return fmod(t * g->hz, 1.0) < g->duty ? g->high_w : g->low_w;
    if (g->shape == 0) return g->high_w;
    if (t <= g->t[0]) return g->w[0];
    for (int i = 1; i < g->points; i++)
        if (t < g->t[i]) return g->w[i - 1] + (g->w[i] - g->w[i - 1]) * (t - g->t[i - 1]) / (g->t[i] - g->t[i - 1]);
    return g->w[g->points - 1];
}

static double energy_j(const Gpu *g, double t) {
    if (t <= 0) return 0;
    if (g->shape == 0) return g->high_w * t;
    if (g->shape == 1) {
        double cycles = floor(t * g->hz), rest = t * g->hz - cycles;
        double high = rest < g->duty ? rest : g->duty;
        double per_cycle = g->duty * g->high_w + (1 - g->duty) * g->low_w;
        return (cycles * per_cycle + high * g->high_w + (rest - high) * g->low_w) / g->hz;
    }
    int i = 0;
    while (i + 1 < g->points && g->t[i + 1] <= t) i++;
    if (t < g->t[0]) return g->w[0] * t;
    return g->e[i] + (g->w[i] + power_w(g, t)) / 2 * (t - g->t[i]);
}

static void begin_gpu(const char *uuid) {
    Gpu *g = &gpus[gpu_count];
    memset(g, 0, sizeof *g);
    snprintf(g->uuid, sizeof g->uuid, "%s", uuid);
    snprintf(g->name, sizeof g->name, "Fake H100");
    snprintf(g->bus, sizeof g->bus, "00000000:%02X:00.0", gpu_count + 1);
    g->has_counter = g->has_fields = g->persistence = 1;
    g->period_s = 0.1, g->sensor_s = 0, g->step_mj = 1, g->gain = 1, g->offset_mj = 123456789;
    g->lost_at_s = g->reset_at_s = g->stall_at_s = INFINITY;
    g->says_from = g->jump_at = g->stands_from = g->stands_to = INFINITY;
    g->temperature = 40, g->limit_mw = 700000, g->arch = 9, g->high_w = 100;
    gpu_count++;
}

static void read_list(Gpu *g, const char *key, char *rest) {
    for (char *word = strtok(rest, " \n"); word; word = strtok(NULL, " \n")) {
        if (!strcmp(key, "mig") && g->mig_count < MAX_MIGS) snprintf(g->migs[g->mig_count++], 96, "%s", word);
        if (!strcmp(key, "pids") && g->pid_count < MAX_PIDS) g->pids[g->pid_count++] = (unsigned)atoi(word);
        if (!strcmp(key, "points") && g->points < MAX_POINTS && sscanf(word, "%lf:%lf", &g->t[g->points], &g->w[g->points]) == 2) {
            int i = g->points++;
            g->shape = 2;
            g->e[i] = i ? g->e[i - 1] + (g->w[i] + g->w[i - 1]) / 2 * (g->t[i] - g->t[i - 1]) : g->w[0] * g->t[0];
        }
    }
}

static void read_line(char *line) {
    char key[32] = "", rest[16384] = "";
    if (sscanf(line, "%31s %16383[^\n]", key, rest) < 1 || key[0] == '#') return;
    if (!strcmp(key, "start_ns")) start_ns = atoll(rest);
    else if (!strcmp(key, "init_error")) init_error = atoi(rest);
    else if (!strcmp(key, "driver")) snprintf(driver, sizeof driver, "%s", rest);
    else if (!strcmp(key, "gpu")) begin_gpu(rest);
    else if (!strcmp(key, "fail") && failing_count < 64) {
        sscanf(rest, "%63s %d", failing[failing_count].name, &failing[failing_count].code);
        failing_count++;
    }
    if (!gpu_count) return;
    Gpu *g = &gpus[gpu_count - 1];
    if (!strcmp(key, "name")) snprintf(g->name, sizeof g->name, "%s", rest);
    else if (!strcmp(key, "bus")) snprintf(g->bus, sizeof g->bus, "%s", rest);
    else if (!strcmp(key, "counter")) g->has_counter = atoi(rest);
    else if (!strcmp(key, "fields")) g->has_fields = atoi(rest);
    else if (!strcmp(key, "usage_average")) g->usage_average = atoi(rest);
    else if (!strcmp(key, "denied")) g->denied = atoi(rest);
    else if (!strcmp(key, "stuck")) g->stuck = atoi(rest);
    else if (!strcmp(key, "persistence")) g->persistence = atoi(rest);
    else if (!strcmp(key, "arch")) g->arch = atoi(rest);
    else if (!strcmp(key, "gain")) g->gain = atof(rest);
    else if (!strcmp(key, "offset_mj")) g->offset_mj = strtoull(rest, NULL, 10);
    else if (!strcmp(key, "step_mj")) g->step_mj = strtoull(rest, NULL, 10);
    else if (!strcmp(key, "throttle")) g->throttle = strtoull(rest, NULL, 0);
    else if (!strcmp(key, "temperature")) g->temperature = (unsigned)atoi(rest);
    else if (!strcmp(key, "limit_mw")) g->limit_mw = (unsigned)atoi(rest);
    else if (!strcmp(key, "period_ms")) g->period_s = atof(rest) * 1e-3;
    else if (!strcmp(key, "sensor_ms")) g->sensor_s = atof(rest) * 1e-3;
    else if (!strcmp(key, "lost_at_s")) g->lost_at_s = atof(rest);
    else if (!strcmp(key, "stall_at_s")) g->stall_at_s = atof(rest);
    else if (!strcmp(key, "counter_ms")) g->counter_s = atof(rest) * 1e-3;
    else if (!strcmp(key, "stall_s")) g->stall_s = atof(rest);
    else if (!strcmp(key, "reset_at_s")) g->reset_at_s = atof(rest);
    else if (!strcmp(key, "says_w")) sscanf(rest, "%lf %lf %lf", &g->says_w, &g->says_from, &g->says_to);
    else if (!strcmp(key, "jump_j")) sscanf(rest, "%lf %lf", &g->jump_j, &g->jump_at);
    else if (!strcmp(key, "stands")) sscanf(rest, "%lf %lf %d", &g->stands_from, &g->stands_to, &g->makes_up);
    else if (!strcmp(key, "constant")) g->shape = 0, g->high_w = atof(rest);
    else if (!strcmp(key, "square")) {
        g->shape = 1;
        sscanf(rest, "%lf %lf %lf %lf", &g->hz, &g->low_w, &g->high_w, &g->duty);
    } else read_list(g, key, rest);
}

static void *wait_forever(void *unused) {
    for (;;) pause();
    return unused;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    static pthread_t helper; /* drivers have threads of their own, which take signals that others block */
    if (!helper) pthread_create(&helper, NULL, wait_forever, NULL);
    const char *path = getenv("FAKE_NVML_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return 9; /* driver not loaded */
    static char line[16500];
    gpu_count = init_error = failing_count = 0;
    while (fgets(line, sizeof line, file)) read_line(line);
    fclose(file);
    for (int i = 0; i < gpu_count; i++) {
        whole[i] = (Handle){i, -1};
        for (int m = 0; m < MAX_MIGS; m++) slices[i][m] = (Handle){i, m};
    }
    return init_error;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) {
    switch (code) {
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case LOST: return "GPU is lost";
    case 9: return "Driver Not Loaded";
    default: return "Unknown Error";
    }
}
int nvmlSystemGetDriverVersion(char *out, unsigned n) { MAY_FAIL; snprintf(out, n, "%s", driver); return OK; }
int nvmlSystemGetNVMLVersion(char *out, unsigned n) { MAY_FAIL; snprintf(out, n, "12.%s", driver); return OK; }
int nvmlDeviceGetCount_v2(unsigned *n) { MAY_FAIL; *n = (unsigned)gpu_count; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, Handle **out) { MAY_FAIL;
    if ((int)i >= gpu_count) return INVALID;
    *out = &whole[i];
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Handle **out) { MAY_FAIL;
    for (int i = 0; i < gpu_count; i++) {
        if (!strcmp(uuid, gpus[i].uuid)) { *out = &whole[i]; return OK; }
        for (int m = 0; m < gpus[i].mig_count; m++)
            if (!strcmp(uuid, gpus[i].migs[m])) { *out = &slices[i][m]; return OK; }
    }
    return NOT_FOUND;
}

#define CARD Gpu *g = &gpus[h->gpu]
#define ALIVE CARD; if (now_s() >= g->lost_at_s) return LOST; if (g->denied) return NO_PERMISSION

int nvmlDeviceGetUUID(Handle *h, char *out, unsigned n) { MAY_FAIL;
    CARD;
    snprintf(out, n, "%s", h->mig < 0 ? g->uuid : g->migs[h->mig]);
    return OK;
}
int nvmlDeviceGetName(Handle *h, char *out, unsigned n) { MAY_FAIL; CARD; snprintf(out, n, "%s", g->name); return OK; }
int nvmlDeviceGetIndex(Handle *h, unsigned *out) { MAY_FAIL; *out = (unsigned)h->gpu; return OK; }
typedef struct { char legacy[16]; unsigned domain, bus, device, pci_id, subsystem; char id[32]; } Pci;
int nvmlDeviceGetPciInfo_v3(Handle *h, Pci *out) { MAY_FAIL;
    CARD;
    memset(out, 0, sizeof *out);
    snprintf(out->id, sizeof out->id, "%s", g->bus);
    snprintf(out->legacy, sizeof out->legacy, "%.15s", g->bus);
    return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(Handle *h, unsigned long long *out) { MAY_FAIL;
    ALIVE;
    if (!g->has_counter || h->mig >= 0) return NOT_SUPPORTED;
    double t = now_s(), begin = 0;
    int stalls = t >= g->stall_at_s;
    unsigned long long base = g->offset_mj;
    if (t >= g->reset_at_s) begin = g->reset_at_s, base = 0;
    if (g->period_s > 0) t = floor(t / g->period_s) * g->period_s;
    if (t < begin) t = begin;
    double lost_j = 0, shown = t;
    if (shown >= g->stands_from && shown < g->stands_to) shown = g->stands_from;
    if (!g->makes_up && t >= g->stands_to) lost_j = energy_j(g, g->stands_to) - energy_j(g, g->stands_from);
    double mj = g->stuck ? 0 : (energy_j(g, shown) - energy_j(g, begin) - lost_j) * 1e3 * g->gain;
    if (t >= g->jump_at) mj += g->jump_j * 1e3;
    unsigned long long whole_mj = (unsigned long long)(mj > 0 ? mj : 0);
    *out = base + whole_mj / g->step_mj * g->step_mj;
    if (g->counter_s > 0) busy(g->counter_s);
    if (stalls) {
        struct timespec late = {(time_t)g->stall_s, (long)(fmod(g->stall_s, 1.0) * 1e9)};
        g->stall_at_s = INFINITY;
        nanosleep(&late, NULL);
    }
    return OK;
}
static unsigned sensor_mw(const Gpu *g, int average) {
    double t = now_s();
    if (t >= g->says_from && t < g->says_to) return (unsigned)(g->says_w * 1e3 + 0.5);
    if (average) return (unsigned)((energy_j(g, t) - energy_j(g, t - 1)) / (t < 1 ? t : 1) * 1e3 + 0.5);
    if (g->sensor_s > 0) t = floor(t / g->sensor_s) * g->sensor_s;
    return (unsigned)(power_w(g, t) * 1e3 + 0.5);
}
int nvmlDeviceGetPowerUsage(Handle *h, unsigned *out) { MAY_FAIL;
    ALIVE;
    if (h->mig >= 0) return NOT_SUPPORTED;
    *out = sensor_mw(g, g->usage_average);
    return OK;
}
typedef struct { unsigned field, scope; long long timestamp, latency; int type, result; union { double d; unsigned u; unsigned long long ull; } value; } Field;
int nvmlDeviceGetFieldValues(Handle *h, int n, Field *v) { MAY_FAIL;
    ALIVE;
    for (int i = 0; i < n; i++) {
        v[i].result = NOT_SUPPORTED;
        if (v[i].scope != 0) continue;
        if ((v[i].field == 185 || v[i].field == 186) && g->has_fields) {
            v[i].result = OK, v[i].type = 1, v[i].value.ull = 0;
            v[i].value.u = sensor_mw(g, v[i].field == 185);
        }
    }
    return OK;
}
int nvmlDeviceGetTemperature(Handle *h, int sensor, unsigned *out) { MAY_FAIL; (void)sensor; ALIVE; *out = g->temperature; return OK; }
typedef struct { unsigned version; int sensor, value; } TemperatureV;
int nvmlDeviceGetTemperatureV(Handle *h, TemperatureV *out) { MAY_FAIL; ALIVE; out->value = (int)g->temperature; return OK; }
int nvmlDeviceGetUtilizationRates(Handle *h, unsigned *out) { MAY_FAIL; ALIVE; out[0] = power_w(g, now_s()) > 100 ? 100 : 0, out[1] = 0; return OK; }
int nvmlDeviceGetClockInfo(Handle *h, int type, unsigned *out) { MAY_FAIL; (void)type; ALIVE; *out = 1980; return OK; }
int nvmlDeviceGetCurrentClocksEventReasons(Handle *h, unsigned long long *out) { MAY_FAIL; ALIVE; *out = g->throttle; return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle *h, unsigned long long *out) { MAY_FAIL; ALIVE; *out = g->throttle; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(Handle *h, unsigned *out) { MAY_FAIL; ALIVE; *out = g->limit_mw; return OK; }
int nvmlDeviceGetPowerManagementLimit(Handle *h, unsigned *out) { MAY_FAIL; ALIVE; *out = g->limit_mw; return OK; }
int nvmlDeviceGetPowerManagementDefaultLimit(Handle *h, unsigned *out) { MAY_FAIL; ALIVE; *out = g->limit_mw; return OK; }
int nvmlDeviceGetPowerManagementLimitConstraints(Handle *h, unsigned *least, unsigned *most) { MAY_FAIL; ALIVE; *least = 100000, *most = g->limit_mw; return OK; }
int nvmlDeviceGetPersistenceMode(Handle *h, int *out) { MAY_FAIL; ALIVE; *out = g->persistence; return OK; }
int nvmlDeviceGetComputeMode(Handle *h, int *out) { MAY_FAIL; ALIVE; *out = 0; return OK; }
int nvmlDeviceGetArchitecture(Handle *h, unsigned *out) { MAY_FAIL; ALIVE; *out = (unsigned)g->arch; return OK; }
int nvmlDeviceGetMemoryInfo(Handle *h, unsigned long long *out) { MAY_FAIL; ALIVE; out[0] = 80ULL << 30, out[1] = 79ULL << 30, out[2] = 1ULL << 30; return OK; }
int nvmlDeviceGetMigMode(Handle *h, unsigned *current, unsigned *pending) { MAY_FAIL; ALIVE; *current = *pending = g->mig_count > 0; return OK; }
int nvmlDeviceGetMaxMigDeviceCount(Handle *h, unsigned *out) { MAY_FAIL; (void)h; *out = MAX_MIGS; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Handle *h, unsigned i, Handle **out) { MAY_FAIL;
    CARD;
    if ((int)i >= g->mig_count) return NOT_FOUND;
    *out = &slices[h->gpu][i];
    return OK;
}
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(Handle *h, unsigned *n, Process *out) { MAY_FAIL;
    ALIVE;
    if (*n < (unsigned)g->pid_count || (!out && g->pid_count)) { *n = (unsigned)g->pid_count; return SMALL; }
    *n = (unsigned)g->pid_count;
    for (int i = 0; i < g->pid_count; i++) out[i] = (Process){g->pids[i], 1 << 20, 0, 0};
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v2(Handle *h, unsigned *n, Process *out) { MAY_FAIL; return nvmlDeviceGetComputeRunningProcesses_v3(h, n, out); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(Handle *h, unsigned *n, Process *out) { MAY_FAIL; (void)h; (void)out; *n = 0; return OK; }
