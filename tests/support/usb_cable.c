/* A libusb whose only device is at the other end of a Unix socket, in another process (usb_cable.py).
 *
 * The socket that USB_CABLE names carries messages, whose first byte is their kind. From the device: D, with port,
 * address and device descriptor, when it is plugged in; R, with a record of the bulk endpoint; A, with the answer to a
 * request (without its second byte 0: stalled). To the device: C, with the setup packet and data of a request.
 * A closed connection is an unplugged device. Messages are read only while the program asks for them, as with a bus.
 */
#define libusb_init local_init
#define libusb_get_device_list local_get_device_list
#define libusb_get_pollfds local_get_pollfds
#define libusb_handle_events local_handle_events
#define libusb_handle_events_timeout_completed local_handle_events_timeout_completed
#include "fake_libusb.c"
#undef libusb_init
#undef libusb_get_device_list
#undef libusb_get_pollfds
#undef libusb_handle_events
#undef libusb_handle_events_timeout_completed

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { STALLED = -9, LONGEST = 512, PATIENCE_MS = 5000 };

static int cable = -1, number = -1, ended;
static uint8_t message[LONGEST];

/* The next message: its length, 0 at the end of the connection, -1 if there is none. */
static int next(int wait_ms) {
    struct pollfd p = {cable, POLLIN, 0};
    if (ended) return 0;
    if (poll(&p, 1, wait_ms) <= 0) return -1;
    int length = recv(cable, message, sizeof message, MSG_DONTWAIT);
    if (length > 0) return length;
    ended = 1;
    return 0;
}

static void feed(int length) { fake_feed(number, message + 1, length - 1); }

static int request(int n, int type, int code, int value, int index, uint8_t *data, int length) {
    uint8_t sent[LONGEST] = {'C', type, code, value, value >> 8, index, index >> 8, length, length >> 8};
    int out = type & 0x80 ? 0 : length, found;
    if (n != number || ended || out > LONGEST - 9) return NO_DEVICE;
    if (out) memcpy(sent + 9, data, out);
    if (send(cable, sent, 9 + out, MSG_NOSIGNAL) < 0) return NO_DEVICE;
    while ((found = next(PATIENCE_MS)) > 0) {
        if (message[0] == 'R') feed(found);
        else if (message[0] == 'A') {
            if (!message[1]) return STALLED;
            if (out || !(type & 0x80)) return length;
            found = found - 2 < length ? found - 2 : length;
            memcpy(data, message + 2, found);
            return found;
        }
    }
    return found ? TIMEOUT : NO_DEVICE;
}

static void connect_cable(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("USB_CABLE");
    if (number >= 0 && !ended) return;
    if (number >= 0) fake_unplug(number), number = -1;
    if (cable >= 0) close(cable), cable = -1;
    if (!path || (cable = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) < 0) return;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ended = 0;
    if (connect(cable, (struct sockaddr *)&address, sizeof address) || next(PATIENCE_MS) != 21 || message[0] != 'D') {
        close(cable), cable = -1;
        return;
    }
    number = fake_plug(message + 3, message[1], message[2]);
}

/* Read what the transfers under way have room for. */
static void pump(void) {
    struct device *d = &devices[number];
    int found;
    if (number < 0) return;
    while ((int)(d->after - d->first) < d->in_flight && (found = next(0)) > 0)
        if (message[0] == 'R') feed(found);
    if (ended && !waiting(d)) fake_unplug(number);
}

int libusb_init(void **context) {
    fake_on_control(request);
    return local_init(context);
}
long libusb_get_device_list(void *context, void ***list) {
    connect_cable();
    return local_get_device_list(context, list);
}
int libusb_handle_events_timeout_completed(void *context, struct timeval *wait, int *completed) {
    struct timeval at_once = {0, 0};
    struct pollfd both[2] = {{bell[0], POLLIN, 0}, {cable, POLLIN, 0}};
    pump();
    poll(both, cable < 0 || ended ? 1 : 2, wait->tv_sec * 1000 + wait->tv_usec / 1000);
    pump();
    local_handle_events_timeout_completed(context, &at_once, completed);
    pump();
    return 0;
}
int libusb_handle_events(void *context) {
    struct timeval minute = {60, 0};
    return libusb_handle_events_timeout_completed(context, &minute, NULL);
}
const struct descriptor **libusb_get_pollfds(void *context) {
    static struct descriptor of_cable;
    const struct descriptor **ours = calloc(3, sizeof *ours), **local = local_get_pollfds(context);
    of_cable.fd = cable, of_cable.events = POLLIN;
    ours[0] = local[0], ours[1] = cable < 0 ? NULL : &of_cable;
    free(local);
    return ours;
}
