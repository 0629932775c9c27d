/* An emulated TouCAN: a library with the interface of libUVCANTOU (CAN API V3), without USB.
 *
 * The file named by TOUCAN_STAGE scripts its behaviour: 64-bit words and messages, mapped by this library
 * in every process that loads it and by the test (toucan_stage.py). The adapter can therefore be unplugged
 * under a running daemon, and stays unplugged for the next worker. Without such a file every call fails.
 * Peculiarities of the real library are emulated: modes that the adapter lacks are a wrong parameter (-93),
 * the overrun flag stays set, a controller that was never started is offline, an unplugged adapter is empty
 * to can_read, and bus-off shows only if status messages were requested.
 *
 *   cc -shared -fPIC -O2 -o libUVCANTOU.so toucan.c -lpthread
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CHANNELS = 8, SLOTS = 1024, QUEUE = 65536 };

/* Words of the stage, in the order of `Word` in toucan_stage.py. */
enum {
    PLUGGED, OCCUPIED, CAPABILITY, SPECIFICATION, CLOCK, RATE, LIMIT, FD, STATUS, STATUS_CODE, READ_CODE,
    READ_CODES, OVERRUNS, HAS_OVERRUNS, IMPATIENT, CLASSIC_LAYOUT, STAMP_START, STAMP_PPM, PUT, HANG,
    TAKEN, MADE, INITS, EXITS, RESETS, KILLS, READS, STATUSES, MODE, INDEX, BRP, TSEG1, TSEG2, SJW,
    DATA_BRP, DATA_TSEG1, DATA_TSEG2, DATA_SJW, MORE, CONTINUE, NEXT, WORDS
};

typedef struct {
    uint32_t id;
    uint8_t flags, dlc, data[64];
    struct timespec stamp;
} message_t;

typedef union {
    int32_t index;
    struct {
        int32_t frequency;
        struct { uint16_t brp, tseg1, tseg2, sjw; uint8_t sam; } nominal;
        struct { uint16_t brp, tseg1, tseg2, sjw; } data;
    } btr;
} bitrate_t;

_Static_assert(sizeof(message_t) == 88, "can_message_t");
_Static_assert(sizeof(bitrate_t) == 24, "can_bitrate_t");

typedef struct {
    volatile int64_t word[64];
    message_t slot[SLOTS];
} stage_t;

static struct {
    int open, running;
    volatile int killed;
    uint8_t mode;
    bitrate_t bitrate;
    double began;
    int64_t first, made, due, lost;
} channel[CHANNELS];

static stage_t *stage;
static int initialised;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The adapter's clock: microseconds in 32 bits, STAMP_PPM too fast, STAMP_START at the start. */
static struct timespec stamp_of(int handle, double moment)
{
    double us = (moment - channel[handle].began) * 1e6 * (1 + (double)stage->word[STAMP_PPM] * 1e-6);
    uint32_t counter = (uint32_t)((int64_t)us + stage->word[STAMP_START]);
    return (struct timespec){.tv_sec = counter / 1000000, .tv_nsec = (long)(counter % 1000000) * 1000};
}

static int set_up(void)
{
    const char *path = getenv("TOUCAN_STAGE");
    int file;
    if (stage)
        return 0;
    if (!path || (file = open(path, O_RDWR)) < 0)
        return -10000 - errno;
    stage = mmap(NULL, sizeof(stage_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (stage == MAP_FAILED) {
        stage = NULL;
        return -10000 - errno;
    }
    return 0;
}

static int there(void)
{
    return stage && stage->word[PLUGGED];
}

/* -95, -92 or 0: the checks at the beginning of every function of the library. */
static int check(int handle)
{
    if (!initialised)
        return -95;
    if (handle < 0 || handle >= CHANNELS || !channel[handle].open)
        return -92;
    return 0;
}

int can_test(int32_t number, uint8_t mode, const void *parameter, int *result)
{
    int code;
    (void)parameter;
    if (result)
        *result = -2;
    if ((code = set_up()) < 0)
        return code;
    initialised = 1;
    if (number < 0 || number >= CHANNELS)
        return -95;
    if (result)
        *result = number > stage->word[MORE] || !there() ? -1 : stage->word[OCCUPIED] || channel[number].open;
    return there() && (mode & ~stage->word[CAPABILITY]) ? -93 : 0;
}

int can_init(int32_t number, uint8_t mode, const void *parameter)
{
    int code;
    (void)parameter;
    if ((code = set_up()) < 0)
        return code;
    initialised = 1;
    if (number < 0 || number >= CHANNELS)
        return -95;
    if (number > stage->word[MORE] || !there())
        return -92;
    if (channel[number].open || stage->word[OCCUPIED])
        return -96;
    if (mode & ~stage->word[CAPABILITY])
        return -93;
    memset(&channel[number], 0, sizeof channel[number]);
    channel[number].open = 1;
    channel[number].mode = mode;
    stage->word[MODE] = mode;
    stage->word[INITS]++;
    return number;
}

int can_start(int handle, const bitrate_t *bitrate)
{
    int code = check(handle);
    if (code < 0)
        return code;
    if (!bitrate)
        return -94;
    if (channel[handle].running)
        return -8;
    if (!there())
        return -92;
    if (bitrate->index <= 0 ? bitrate->index < -8 || bitrate->index == -1
                            : bitrate->btr.frequency != stage->word[CLOCK])
        return -91;
    static const uint16_t quanta[] = {10, 0, 20, 20, 20, 20, 20, 20, 20}, brps[] = {5, 0, 5, 10, 20, 25, 50, 125, 250};
    channel[handle].bitrate = *bitrate;
    stage->word[INDEX] = bitrate->index;
    if (bitrate->index <= 0) {
        int row = -bitrate->index, tseg2 = row ? 5 : 2;
        channel[handle].bitrate.btr.frequency = (int32_t)stage->word[CLOCK];
        channel[handle].bitrate.btr.nominal.brp = brps[row];
        channel[handle].bitrate.btr.nominal.tseg1 = quanta[row] - 1 - tseg2;
        channel[handle].bitrate.btr.nominal.tseg2 = tseg2;
        channel[handle].bitrate.btr.nominal.sjw = row ? 4 : 2;
    }
    stage->word[BRP] = channel[handle].bitrate.btr.nominal.brp;
    stage->word[TSEG1] = channel[handle].bitrate.btr.nominal.tseg1;
    stage->word[TSEG2] = channel[handle].bitrate.btr.nominal.tseg2;
    stage->word[SJW] = channel[handle].bitrate.btr.nominal.sjw;
    stage->word[DATA_BRP] = channel[handle].bitrate.btr.data.brp;
    stage->word[DATA_TSEG1] = channel[handle].bitrate.btr.data.tseg1;
    stage->word[DATA_TSEG2] = channel[handle].bitrate.btr.data.tseg2;
    stage->word[DATA_SJW] = channel[handle].bitrate.btr.data.sjw;
    channel[handle].running = 1;
    channel[handle].made = channel[handle].due = channel[handle].lost = 0;
    channel[handle].first = stage->word[CONTINUE] ? stage->word[NEXT] : 0;
    channel[handle].began = seconds(CLOCK_MONOTONIC);
    return 0;
}

/* Number of numbered frames on the bus since the start; frames that the queue cannot hold are lost. */
static void catch_up(int handle)
{
    int64_t rate = stage->word[RATE], limit = stage->word[LIMIT];
    int64_t due = rate > 0 ? (int64_t)((seconds(CLOCK_MONOTONIC) - channel[handle].began) * (double)rate) : 0;
    if (rate < 0)
        due = channel[handle].made + 1;
    if (limit && due > limit)
        due = limit;
    if (due > channel[handle].due)
        channel[handle].due = due;
    if (channel[handle].due - channel[handle].made > QUEUE) {
        int64_t lost = channel[handle].due - channel[handle].made - QUEUE;
        channel[handle].made += lost;
        channel[handle].lost += lost;
    }
}

/* The next numbered frame: id 0x100, its number in big-endian order; every third has a 29-bit id. */
static void make(int handle, message_t *message)
{
    int64_t count = channel[handle].made++, number = channel[handle].first + count, rate = stage->word[RATE];
    double now = seconds(CLOCK_MONOTONIC);
    memset(message, 0, sizeof *message);
    message->id = number % 3 ? 0x100 : 0x18DA00F1;
    message->flags = (number % 3 ? 0 : 1) | (stage->word[FD] ? 0x0C : 0);
    message->dlc = stage->word[FD] ? 15 : 8;
    for (int i = 0; i < 8; i++)
        message->data[i] = (uint8_t)(number >> (56 - 8 * i));
    message->stamp = stamp_of(handle, rate > 0 ? channel[handle].began + (double)(count + 1) / (double)rate : now);
    stage->word[MADE]++;
    stage->word[NEXT] = number + 1;
}

static int take(int handle, message_t *message)
{
    while (stage->word[TAKEN] < stage->word[PUT]) {
        *message = stage->slot[stage->word[TAKEN] % SLOTS];
        stage->word[TAKEN]++;
        if ((message->flags & 0x80) && !(channel[handle].mode & 0x02))
            continue;
        if (!message->stamp.tv_sec && !message->stamp.tv_nsec)
            message->stamp = stamp_of(handle, seconds(CLOCK_MONOTONIC));
        return 1;
    }
    catch_up(handle);
    if (channel[handle].made < channel[handle].due) {
        make(handle, message);
        return 1;
    }
    return 0;
}

/* Sleep until can_kill, the next frame or `until`; 5 ms at most, in which the stage may have changed. */
static void doze(int handle, double until)
{
    struct timespec moment;
    double now = seconds(CLOCK_REALTIME), soon = now + 0.005;
    int64_t rate = stage->word[RATE], next = channel[handle].made + 1;
    if (rate > 0 && !(stage->word[LIMIT] && next > stage->word[LIMIT])) {
        double wait = channel[handle].began + (double)next / (double)rate - seconds(CLOCK_MONOTONIC);
        soon = wait < 0 ? now : now + wait < soon ? now + wait : soon;
    }
    if (until < soon)
        soon = until;
    moment.tv_sec = (time_t)soon;
    moment.tv_nsec = (long)((soon - (double)moment.tv_sec) * 1e9);
    pthread_cond_timedwait(&wake, &lock, &moment);
}

int can_read(int handle, message_t *message, uint16_t wait_ms)
{
    int code = check(handle);
    double until;
    if (code < 0)
        return code;
    if (!message)
        return -94;
    if (!channel[handle].running)
        return -9;
    stage->word[READS]++;
    channel[handle].killed = 0;
    while (stage->word[HANG] == 2 || (stage->word[HANG] && !channel[handle].killed))
        usleep(1000);
    if (stage->word[READ_CODES] > 0) {
        stage->word[READ_CODES]--;
        return (int)stage->word[READ_CODE];
    }
    if (stage->word[IMPATIENT])
        wait_ms = 0;
    pthread_mutex_lock(&lock);
    code = -30;
    until = wait_ms == 65535 ? 1e18 : seconds(CLOCK_REALTIME) + wait_ms / 1000.0;
    for (;;) {
        if (there() && take(handle, message)) {
            code = 0;
            break;
        }
        if (!wait_ms || channel[handle].killed || stage->word[READ_CODES] || stage->word[HANG] ||
            seconds(CLOCK_REALTIME) >= until)
            break;
        doze(handle, until);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

int can_status(int handle, uint8_t *status)
{
    int code = check(handle);
    if (code < 0)
        return code;
    stage->word[STATUSES]++;
    if (!there())
        return -92;
    if (stage->word[STATUS_CODE])
        return (int)stage->word[STATUS_CODE];
    if (status) {
        *status = channel[handle].running ? 0 : 0x80;
        *status |= (uint8_t)stage->word[STATUS] & (channel[handle].mode & 0x02 ? 0xFF : 0x8F);
        *status |= channel[handle].lost || stage->word[OVERRUNS] ? 0x01 : 0;
    }
    return 0;
}

int can_busload(int handle, uint8_t *load, uint8_t *status)
{
    if (load)
        *load = 0;
    return can_status(handle, status);
}

int can_bitrate(int handle, bitrate_t *bitrate, void *speed)
{
    int code = check(handle);
    (void)speed;
    if (code == 0 && bitrate)
        *bitrate = channel[handle].bitrate;
    return code < 0 ? code : channel[handle].running ? 0 : -9;
}

static int answer(void *value, uint32_t room, const void *what, uint32_t size)
{
    if (room < size)
        return -93;
    memcpy(value, what, size);
    return 0;
}

int can_property(int handle, uint16_t parameter, void *value, uint32_t room)
{
    int code = set_up();
    if (code < 0)
        return code;
    if (!value)
        return -94;
    if (parameter == 0)
        return answer(value, room, &(uint16_t){(uint16_t)stage->word[SPECIFICATION]}, 2);
    if ((code = check(handle)) < 0)
        return code;
    switch (parameter) {
    case 15:
        return answer(value, room, &(uint8_t){(uint8_t)stage->word[CAPABILITY]}, 1);
    case 17:
        return answer(value, room, &channel[handle].bitrate, stage->word[CLASSIC_LAYOUT] ? 16 : sizeof(bitrate_t));
    case 23:
        return answer(value, room, &(int32_t){(int32_t)stage->word[CLOCK]}, 4);
    case 29:
        if (!stage->word[HAS_OVERRUNS])
            return -98;
        return answer(value, room, &(uint64_t){(uint64_t)(stage->word[OVERRUNS] + channel[handle].lost)}, 8);
    }
    return -98;
}

int can_kill(int handle)
{
    int code = check(handle);
    if (code < 0)
        return code;
    pthread_mutex_lock(&lock);
    stage->word[KILLS]++;
    channel[handle].killed = 1;
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
    return 0;
}

int can_reset(int handle)
{
    int code = check(handle);
    if (code < 0)
        return code;
    stage->word[RESETS]++;
    if (!there())
        return -92;
    channel[handle].running = 0;
    return 0;
}

int can_exit(int handle)
{
    int code = handle == -1 ? (initialised ? 0 : -95) : check(handle);
    if (code < 0)
        return code;
    for (int i = 0; i < CHANNELS; i++)
        if (channel[i].open && (handle == -1 || handle == i)) {
            channel[i].open = channel[i].running = 0;
            stage->word[EXITS]++;
        }
    return 0;
}

char *can_hardware(int handle)
{
    return check(handle) < 0 ? NULL : (char *)"TouCAN-USB, hardware 1.0.0 (s/n 00000042)";
}

char *can_firmware(int handle)
{
    return check(handle) < 0 ? NULL : (char *)"TouCAN-USB, firmware 1.0.1 (www.rusoku.com)";
}

char *can_version(void)
{
    return (char *)"emulated TouCAN, CAN API V3";
}
