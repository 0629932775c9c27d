/* A stand-in for the parts of libusb-1.0 that pyusb and cancorderd's bulk_reads use. A test plugs devices in
 * and out, answers their control requests, and feeds the data of their bulk endpoint. fake_libusb.py builds
 * it with the system's compiler. For one thread only. */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { NO_DEVICE = -4, NOT_FOUND = -5, BUSY = -6, TIMEOUT = -7, NO_MEM = -11 };
enum { DEVICES = 64, RECORDS = 4096, RECORD = 128, TRANSFERS = 512 };

struct transfer { /* struct libusb_transfer */
    void *handle;
    uint8_t flags, endpoint, type;
    unsigned timeout;
    int status, length, actual_length;
    void (*callback)(struct transfer *);
    void *user_data, *buffer;
    int iso_packets;
};
struct endpoint {
    uint8_t length, type, address, attributes;
    uint16_t packet;
    uint8_t interval, refresh, synch;
    const uint8_t *extra;
    int extra_length;
};
struct alternate {
    uint8_t length, type, number, alternate, endpoints, class, subclass, protocol, name;
    const struct endpoint *endpoint;
    const uint8_t *extra;
    int extra_length;
};
struct interface {
    const struct alternate *alternates;
    int count;
};
struct configuration {
    uint8_t length, type;
    uint16_t total;
    uint8_t interfaces, value, name, attributes, power;
    const struct interface *interface;
    const uint8_t *extra;
    int extra_length;
};

struct device {
    int present, port, address, open, claimed, open_error, claim_error, driver, submit_limit;
    uint8_t descriptor[18];
    struct { int length; uint8_t bytes[RECORD]; } records[RECORDS];
    unsigned first, after;     /* of the waiting records */
    unsigned endless, granted; /* repeat this many records until `granted` have been read */
    struct { struct transfer *transfer; int cancelled; } pending[TRANSFERS];
    int in_flight;
};

static struct device devices[DEVICES];
static int plugged, most_at_once = 25, bell[2] = {-1, -1};
static int (*answer)(int, int, int, int, int, uint8_t *, int);

static void ring(void) { if (write(bell[1], "", 1) < 0) {} }
static int waiting(struct device *d) { return d->endless ? d->granted : d->first != d->after; }

static int record(struct device *d, uint8_t *to, int size) {
    unsigned at = d->first++ % (d->endless ? d->endless : RECORDS);
    if (d->endless) d->granted--;
    int length = d->records[at].length < size ? d->records[at].length : size;
    memcpy(to, d->records[at].bytes, length);
    return length;
}

/* --- calls from the test ---------------------------------------------------------------------------- */

void fake_on_control(int (*callback)(int, int, int, int, int, uint8_t *, int)) { answer = callback; }
void fake_most_at_once(int count) { most_at_once = count; }

int fake_plug(const uint8_t *descriptor, int port, int address) {
    struct device *d = &devices[plugged];
    if (plugged == DEVICES) return -1;
    memset(d, 0, sizeof *d);
    memcpy(d->descriptor, descriptor, 18);
    d->present = 1, d->port = port, d->address = address, d->submit_limit = TRANSFERS;
    return plugged++;
}
void fake_unplug(int n) { devices[n].present = 0; ring(); }
void fake_errors(int n, int open_error, int claim_error) {
    devices[n].open_error = open_error, devices[n].claim_error = claim_error;
}
void fake_driver(int n, int active) { devices[n].driver = active; }
void fake_submit_limit(int n, int limit) { devices[n].submit_limit = limit; }
void fake_feed(int n, const uint8_t *bytes, int length) {
    struct device *d = &devices[n];
    if (d->after - d->first == RECORDS || length > RECORD) abort();
    d->records[d->after % RECORDS].length = length;
    memcpy(d->records[d->after++ % RECORDS].bytes, bytes, length);
    ring();
}
void fake_endless(int n, unsigned count) {
    struct device *d = &devices[n];
    if (!d->endless) d->endless = d->after - d->first;
    d->granted += count;
    ring();
}
int fake_open(int n) { return devices[n].open; }
int fake_claimed(int n) { return devices[n].claimed; }
int fake_has_driver(int n) { return devices[n].driver; }
int fake_in_flight(int n) { return devices[n].in_flight; }

/* --- devices --------------------------------------------------------------------------------------- */

int libusb_init(void **context) {
    if (bell[0] < 0) {
        if (pipe(bell)) return NO_MEM;
        for (int i = 0; i < 2; i++) fcntl(bell[i], F_SETFL, O_NONBLOCK), fcntl(bell[i], F_SETFD, FD_CLOEXEC);
    }
    *context = devices;
    return 0;
}
void libusb_exit(void *context) { (void)context; }
void libusb_set_debug(void *context, int level) { (void)context, (void)level; }
const char *libusb_strerror(int code) { return code == -3 ? "Access denied" : code == NO_DEVICE ? "No such device" : "error"; }

long libusb_get_device_list(void *context, void ***list) {
    long count = 0;
    (void)context;
    *list = calloc(DEVICES + 1, sizeof **list);
    for (int i = 0; i < plugged; i++) if (devices[i].present) (*list)[count++] = &devices[i];
    return count;
}
void libusb_free_device_list(void **list, int unref) { (void)unref; free(list); }
void *libusb_get_parent(void *d) { (void)d; return NULL; }
void *libusb_ref_device(void *d) { return d; }
void libusb_unref_device(void *d) { (void)d; }
uint8_t libusb_get_bus_number(void *d) { (void)d; return 1; }
uint8_t libusb_get_device_address(struct device *d) { return d->address; }
uint8_t libusb_get_device_speed(void *d) { (void)d; return 2; }
uint8_t libusb_get_port_number(struct device *d) { return d->port; }
int libusb_get_port_numbers(struct device *d, uint8_t *to, int size) { (void)size; *to = d->port; return 1; }
int libusb_get_device_descriptor(struct device *d, uint8_t *to) { memcpy(to, d->descriptor, 18); return 0; }
int libusb_get_max_iso_packet_size(void *d, uint8_t endpoint) { (void)d, (void)endpoint; return 0; }

static const struct endpoint endpoints[2] = {{7, 5, 0x81, 2, 64, 0, 0, 0, NULL, 0}, {7, 5, 0x02, 2, 64, 0, 0, 0, NULL, 0}};
static const struct alternate alternates[1] = {{9, 4, 0, 0, 2, 0xFF, 0xFF, 0xFF, 0, endpoints, NULL, 0}};
static const struct interface interfaces[1] = {{alternates, 1}};
static const struct configuration configuration = {9, 2, 32, 1, 1, 0, 0x80, 75, interfaces, NULL, 0};
int libusb_get_config_descriptor(void *d, uint8_t index, const struct configuration **to) {
    (void)d, (void)index;
    *to = &configuration;
    return 0;
}
void libusb_free_config_descriptor(void *c) { (void)c; }

int libusb_open(struct device *d, void **handle) {
    if (!d->present) return NO_DEVICE;
    if (d->open_error) return d->open_error;
    *handle = d;
    d->open++;
    return 0;
}
void libusb_close(struct device *d) { d->open--; }
int libusb_get_configuration(struct device *d, int *value) { *value = 1; return d->present ? 0 : NO_DEVICE; }
int libusb_set_configuration(void *d, int value) { (void)d, (void)value; return 0; }
int libusb_set_interface_alt_setting(void *d, int i, int a) { (void)d, (void)i, (void)a; return 0; }
int libusb_claim_interface(struct device *d, int i) {
    (void)i;
    if (!d->present) return NO_DEVICE;
    if (d->driver) return BUSY;
    if (!d->claim_error) d->claimed = 1;
    return d->claim_error;
}
int libusb_release_interface(struct device *d, int i) { (void)i; d->claimed = 0; return d->present ? 0 : NO_DEVICE; }
int libusb_reset_device(struct device *d) { return d->present ? 0 : NO_DEVICE; }
int libusb_kernel_driver_active(struct device *d, int i) { (void)i; return d->present ? d->driver : NO_DEVICE; }
int libusb_detach_kernel_driver(struct device *d, int i) { (void)i; d->driver = 0; return 0; }
int libusb_attach_kernel_driver(struct device *d, int i) { (void)i; if (d->claimed) return BUSY; d->driver = 1; return 0; }
int libusb_clear_halt(void *d, uint8_t e) { (void)d, (void)e; return 0; }
int libusb_get_string_descriptor_ascii(void *d, uint8_t i, uint8_t *to, int n) { (void)d, (void)i, (void)to, (void)n; return NOT_FOUND; }

int libusb_control_transfer(struct device *d, uint8_t type, uint8_t request, uint16_t value, uint16_t index,
                            uint8_t *data, uint16_t length, unsigned timeout) {
    (void)timeout;
    return d->present ? answer(d - devices, type, request, value, index, data, length) : NO_DEVICE;
}

/* --- transfers ------------------------------------------------------------------------------------- */

int libusb_bulk_transfer(struct device *d, uint8_t endpoint, uint8_t *data, int length, int *done, unsigned timeout) {
    struct pollfd p = {bell[0], POLLIN, 0};
    char rung[64];
    if (!d->present) return NO_DEVICE;
    if (!(endpoint & 0x80)) return *done = length, 0;
    if (!waiting(d)) {
        while (read(bell[0], rung, sizeof rung) > 0) {}
        poll(&p, 1, timeout);
        if (!d->present) return NO_DEVICE;
        if (!waiting(d)) return TIMEOUT;
    }
    *done = record(d, data, length);
    return 0;
}
int libusb_interrupt_transfer(struct device *d, uint8_t e, uint8_t *data, int length, int *done, unsigned timeout) {
    return libusb_bulk_transfer(d, e, data, length, done, timeout);
}

struct transfer *libusb_alloc_transfer(int iso) { (void)iso; return calloc(1, sizeof(struct transfer)); }
void libusb_free_transfer(struct transfer *t) { free(t); }
int libusb_submit_transfer(struct transfer *t) {
    struct device *d = t->handle;
    if (!d->present) return NO_DEVICE;
    if (d->in_flight >= d->submit_limit) return NO_MEM;
    d->pending[d->in_flight].transfer = t;
    d->pending[d->in_flight++].cancelled = 0;
    if (d->in_flight == 1 && waiting(d)) ring();
    return 0;
}
int libusb_cancel_transfer(struct transfer *t) {
    struct device *d = t->handle;
    for (int i = 0; d && i < d->in_flight; i++)
        if (d->pending[i].transfer == t) return d->pending[i].cancelled = 1, ring(), 0;
    return NOT_FOUND;
}

static int complete_some(struct device *d) {
    int count = 0;
    for (int i = 0; i < d->in_flight && count < most_at_once; ) {
        struct transfer *t = d->pending[i].transfer;
        if (!d->present) t->status = 5, t->actual_length = 0;
        else if (d->pending[i].cancelled) t->status = 3, t->actual_length = 0;
        else if (waiting(d)) t->status = 0, t->actual_length = record(d, t->buffer, t->length);
        else { i++; continue; }
        memmove(d->pending + i, d->pending + i + 1, (--d->in_flight - i) * sizeof *d->pending);
        t->callback(t);
        count++;
    }
    return count;
}
int libusb_handle_events_timeout_completed(void *context, struct timeval *wait, int *completed) {
    struct pollfd p = {bell[0], POLLIN, 0};
    char rung[64];
    int count = 0;
    (void)context, (void)completed;
    if (poll(&p, 1, wait->tv_sec * 1000 + wait->tv_usec / 1000) <= 0) return 0;
    while (read(bell[0], rung, sizeof rung) > 0) {}
    for (int i = 0; i < plugged; i++) if (devices[i].in_flight) count += complete_some(&devices[i]);
    if (count) ring(); /* there may be more */
    return 0;
}
int libusb_handle_events(void *context) {
    struct timeval minute = {60, 0};
    return libusb_handle_events_timeout_completed(context, &minute, NULL);
}

struct descriptor { int fd; short events; };
const struct descriptor **libusb_get_pollfds(void *context) {
    static struct descriptor bell_descriptor;
    const struct descriptor **list = calloc(2, sizeof *list);
    (void)context;
    bell_descriptor.fd = bell[0], bell_descriptor.events = POLLIN, list[0] = &bell_descriptor;
    return list;
}
void libusb_free_pollfds(void *list) { free(list); }
