/* Prints the frames of a bus, on any POSIX system.
 *
 * cc -std=c11 -O2 -Wall -Wextra -Wpedantic -o client client.c
 * usage: client HOST PORT [COUNT]
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EXTENDED = 1, FD = 2 };      /* bits of flags; BRS is 4, ESI is 8 */
enum { HEADER = 14, LONGEST = 64 }; /* bytes */

struct frame {
    uint64_t timestamp_us; /* since 1970 */
    uint32_t id;           /* arbitration id, no flag bits */
    uint8_t flags;
    uint8_t length; /* bytes of data */
    uint8_t data[LONGEST];
};

/* Return a connected socket, or print a message and return -1. */
static int connect_to(const char *host, const char *port) {
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found;
    const int unknown = getaddrinfo(host, port, &wanted, &found);
    if (unknown != 0) {
        fprintf(stderr, "%s port %s: %s\n", host, port, gai_strerror(unknown));
        return -1;
    }
    int sock = -1;
    for (struct addrinfo *address = found; address != NULL && sock < 0; address = address->ai_next) {
        sock = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
        if (sock >= 0 && connect(sock, address->ai_addr, address->ai_addrlen) != 0) {
            const int failure = errno;
            close(sock);
            errno = failure;
            sock = -1;
        }
    }
    if (sock < 0)
        fprintf(stderr, "%s port %s: %s\n", host, port, strerror(errno));
    freeaddrinfo(found);
    return sock;
}

static uint64_t big_endian(const uint8_t *bytes, int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Read the next frame. Returns 1, 0 at the end of the stream, or -1 after it has printed a message. */
static int next_frame(FILE *stream, struct frame *frame) {
    uint8_t header[HEADER];
    const size_t got = fread(header, 1, HEADER, stream); /* waits for all bytes; fewer only at the end */
    if (got == 0 && feof(stream))
        return 0;
    if (got == HEADER) {
        frame->timestamp_us = big_endian(header, 8);
        frame->id = (uint32_t)big_endian(header + 8, 4);
        frame->flags = header[12];
        frame->length = header[13];
        if (frame->length > LONGEST) {
            fprintf(stderr, "this is not the ECUconnect Logger protocol\n");
            return -1;
        }
        if (fread(frame->data, 1, frame->length, stream) == frame->length)
            return 1;
    }
    fprintf(stderr, "%s\n", ferror(stream) ? strerror(errno) : "the stream ended within a packet");
    return -1;
}

/* Print a frame as candump does: ## and a digit (1: BRS, 2: ESI) stand for CAN FD. */
static void print_frame(const struct frame *frame) {
    printf("(%" PRIu64 ".%06" PRIu64 ") ", frame->timestamp_us / 1000000, frame->timestamp_us % 1000000);
    printf(frame->flags & EXTENDED ? "%08" PRIX32 "#" : "%03" PRIX32 "#", frame->id);
    if (frame->flags & FD)
        printf("#%X", frame->flags >> 2);
    for (int i = 0; i < frame->length; i++)
        printf("%02X", frame->data[i]);
    printf("\n");
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: client HOST PORT [COUNT]\n");
        return 2;
    }
    long left = argc == 4 ? atol(argv[3]) : -1; /* -1: no limit */
    const int sock = connect_to(argv[1], argv[2]);
    FILE *stream = sock < 0 ? NULL : fdopen(sock, "rb");
    if (stream == NULL)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* each line at once, even into a pipe */
    struct frame frame;
    int more = 1;
    while (left != 0 && (more = next_frame(stream, &frame)) > 0) {
        print_frame(&frame);
        left -= left > 0;
    }
    fclose(stream);
    return more < 0;
}
