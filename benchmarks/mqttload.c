/* The load of the MQTT benchmarks: many MQTT 3.1.1 devices in one thread, the same for every broker.
 *
 *     mqttload HOST PORT [--devices 500] [--name device] [--topic bench] [--qos 1] [--payload 120] [--tls DIR COUNT]
 *              [--rate 0] [--flood] [--idle] [--once] [--churn] [--fresh-topics] [--unheard] [--window 500]
 *              [--parallel 50] [--timeout 30]
 *
 * Device number n has the client id NAME-n and publishes to TOPIC/NAME-n (with --fresh-topics: to TOPIC/NAME-n/COUNT,
 * another one each time); one subscriber of TOPIC/#, NAME-subscriber, hears them all (with --unheard there is none).
 *
 *     closed loop   a device sends its next message when its last was acknowledged (QoS 1) and has reached the
 *                   subscriber, so that the broker gets one packet a read; at most --window messages are under way,
 *                   of the devices in turn, so that no broker's bound on what a subscriber has not taken is reached
 *     --rate R      R messages a second from all devices together, on a fixed timetable
 *     --flood       every device sends as fast as its socket takes it
 *     --idle        the devices connect and keep silent
 *     --once        each device connects, sends one message at QoS 0 and disconnects
 *     --churn       every device disconnects as soon as it is connected, and connects anew
 *
 * With --tls, device n shows the certificate DIR/(n mod COUNT).pem with its key .key and checks the server by DIR/ca.pem;
 * no session is ever resumed. A device that is not connected after --timeout seconds gives up.
 *
 * Prints a line of JSON when the devices are connected, and then one for each line on standard input, about the time
 * since the line before. End of input ends it. Latency runs from the moment a message was due to its arrival.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, SMALL = 1 << 10, LARGE = 1 << 20, FLOOD_BYTES = 1 << 15 };
enum { FINE = 20000, COARSE = 300000, COARSE_MICROS = 100 }; /* buckets of 1 µs, then of 100 µs up to 30 s */

enum State { CLOSED, DIALLING, SHAKING, ASKING, SUBSCRIBING, READY, FAILED };

struct Device {
    enum State state;
    int fd, number;
    SSL *ssl;
    uint64_t started;               /* ns: when it began to connect */
    bool acknowledged, arrived;     /* its last message */
    bool under_way;                 /* its last message still counts in the window of the closed loop */
    bool wants_write;
    uint16_t packet_id;
    uint64_t sent;
    uint8_t *in, *out;
    size_t in_room, in_length, out_room, out_length;
};

struct Histogram {
    uint32_t count[FINE + COARSE];
    uint64_t total;
};

static struct {
    const char *name, *topic, *tls_folder;
    int devices, qos, payload, identities, window, parallel, timeout;
    double rate;
    bool flood, idle, once, churn, fresh_topics, unheard;
} option = {.name = "device", .topic = "bench", .devices = 500, .qos = 1, .payload = 120, .window = 500, .parallel = 50, .timeout = 30};

static struct sockaddr_in address;
static SSL_CTX **identities;
static struct Device *devices, *subscriber;
static int poller, timer, all, dialled, in_dialling;
static bool running;
static struct Device **waiting; /* the closed loop: a ring of devices whose turn comes */
static uint64_t waiting_first, waiting_end;
static int under_way;
static uint64_t due, step, next_in_turn; /* the timetable of --rate */
static uint64_t phase_started;
static struct Histogram latency, connecting;
static uint64_t messages, published, connects, lost, refused, timeouts;

static void fail(const char *what) {
    fprintf(stderr, "mqttload: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* --- figures ----------------------------------------------------------------------------------------------------- */

static void record(struct Histogram *histogram, uint64_t nanos) {
    uint64_t micros = nanos / 1000, bucket = micros;
    if (micros >= FINE) {
        bucket = FINE + (micros - FINE) / COARSE_MICROS;
        if (bucket >= FINE + COARSE) bucket = FINE + COARSE - 1;
    }
    histogram->count[bucket]++;
    histogram->total++;
}

static uint64_t micros_at(const struct Histogram *histogram, double share) {
    uint64_t rank = (uint64_t)(share * (double)histogram->total + 0.999999), seen = 0;
    if (rank < 1) rank = 1;
    for (uint64_t bucket = 0; bucket < FINE + COARSE; bucket++)
        if ((seen += histogram->count[bucket]) >= rank)
            return bucket < FINE ? bucket : FINE + (bucket - FINE) * COARSE_MICROS;
    return 0;
}

static void print_histogram(const char *name, const struct Histogram *histogram) {
    printf(", \"%s\": {\"p50\": %lu, \"p95\": %lu, \"p99\": %lu, \"max\": %lu}", name, micros_at(histogram, 0.5),
           micros_at(histogram, 0.95), micros_at(histogram, 0.99), micros_at(histogram, 1.0));
}

static void begin_phase(void) {
    memset(&latency, 0, sizeof latency);
    memset(&connecting, 0, sizeof connecting);
    messages = published = connects = lost = refused = timeouts = 0;
    phase_started = due = now();
}

static void end_phase(void) {
    int connected = 0;
    for (int n = 0; n < all; n++) connected += devices[n].state == READY;
    printf("{\"seconds\": %.6f, \"connected\": %d, \"published\": %lu, \"messages\": %lu, \"connects\": %lu, \"lost\": %lu, "
           "\"refused\": %lu, \"timeouts\": %lu",
           (double)(now() - phase_started) / 1e9, connected, published, messages, connects, lost, refused, timeouts);
    print_histogram("latency", &latency);
    print_histogram("connecting", &connecting);
    printf("}\n");
    fflush(stdout);
    begin_phase();
}

/* --- sockets ----------------------------------------------------------------------------------------------------- */

static void watch(struct Device *device, bool write) {
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = device};
    if (device->wants_write == write) return;
    device->wants_write = write;
    epoll_ctl(poller, EPOLL_CTL_MOD, device->fd, &event);
}

static void leave(struct Device *device, enum State state) {
    if (device->state > CLOSED && device->state < READY) in_dialling--;
    if (device->ssl) SSL_free(device->ssl);
    close(device->fd);
    device->ssl = NULL;
    device->in_length = device->out_length = 0;
    device->wants_write = false;
    device->state = state;
}

static void give_up(struct Device *device) {
    if (device->under_way) device->under_way = false, under_way--;
    if (device->state == READY) lost++;
    else refused++;
    leave(device, FAILED);
}

/* Reads what there is room for: the bytes, 0 when there is nothing now, -1 when the connection is over. */
static ssize_t receive(struct Device *device) {
    uint8_t *to = device->in + device->in_length;
    size_t room = device->in_room - device->in_length;
    if (!device->ssl) {
        ssize_t got = recv(device->fd, to, room, 0);
        return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
    }
    ERR_clear_error();
    int got = SSL_read(device->ssl, to, (int)room);
    if (got > 0) return got;
    int why = SSL_get_error(device->ssl, got);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static void flush(struct Device *device) {
    while (device->out_length) {
        ssize_t sent;
        if (device->ssl) {
            ERR_clear_error();
            sent = SSL_write(device->ssl, device->out, (int)device->out_length);
            if (sent <= 0 && SSL_get_error(device->ssl, (int)sent) == SSL_ERROR_WANT_WRITE) break;
        } else {
            sent = send(device->fd, device->out, device->out_length, MSG_NOSIGNAL);
            if (sent < 0 && errno == EAGAIN) break;
        }
        if (sent <= 0) { give_up(device); return; }
        device->out_length -= (size_t)sent;
        memmove(device->out, device->out + sent, device->out_length);
    }
    watch(device, device->out_length || option.flood);
}

/* --- packets, MQTT 3.1.1 sections 2.2 and 3 ---------------------------------------------------------------------- */

static uint8_t *room_for(struct Device *device, size_t length) {
    while (device->out_length + length > device->out_room) {
        device->out_room *= 2;
        device->out = realloc(device->out, device->out_room);
        if (!device->out) fail("out of memory");
    }
    return device->out + device->out_length;
}

static uint8_t *put_length(uint8_t *at, size_t length) {
    do {
        *at = length & 0x7f;
        length >>= 7;
        if (length) *at |= 0x80;
        at++;
    } while (length);
    return at;
}

static uint8_t *put_text(uint8_t *at, const char *text) {
    size_t length = strlen(text);
    *at++ = (uint8_t)(length >> 8);
    *at++ = (uint8_t)length;
    memcpy(at, text, length);
    return at + length;
}

static void client_id(const struct Device *device, char *text) {
    if (device == subscriber) sprintf(text, "%.80s-subscriber", option.name);
    else sprintf(text, "%.80s-%d", option.name, device->number);
}

static void connect_packet(struct Device *device) {
    char id[128];
    client_id(device, id);
    uint8_t *start = room_for(device, SMALL), *at = start;
    *at++ = 0x10;
    at = put_length(at, 12 + strlen(id));
    at = put_text(at, "MQTT");
    *at++ = 4, *at++ = 2, *at++ = 0, *at++ = 0; /* level, clean session, no keep-alive */
    at = put_text(at, id);
    device->out_length += (size_t)(at - start);
    flush(device);
}

static void subscribe_packet(struct Device *device) {
    char filter[128];
    sprintf(filter, "%.80s/#", option.topic);
    uint8_t *start = room_for(device, SMALL), *at = start;
    *at++ = 0x82;
    at = put_length(at, 5 + strlen(filter));
    *at++ = 0, *at++ = 1;
    at = put_text(at, filter);
    *at++ = (uint8_t)option.qos;
    device->out_length += (size_t)(at - start);
    flush(device);
}

/* The payload begins with when the message was due and whose it is. */
static void publish_packet(struct Device *device, uint64_t when) {
    char topic[192];
    int length = sprintf(topic, "%.80s/%.80s-%d", option.topic, option.name, device->number);
    if (option.fresh_topics) sprintf(topic + length, "/%lu", device->sent);
    size_t remaining = 2 + strlen(topic) + (option.qos ? 2 : 0) + (size_t)option.payload;
    uint8_t *start = room_for(device, remaining + 8), *at = start;
    *at++ = option.qos ? 0x32 : 0x30;
    at = put_length(at, remaining);
    at = put_text(at, topic);
    if (option.qos) {
        if (!++device->packet_id) device->packet_id = 1;
        *at++ = (uint8_t)(device->packet_id >> 8), *at++ = (uint8_t)device->packet_id;
    }
    memset(at, 'x', (size_t)option.payload);
    memcpy(at, &when, sizeof when);
    memcpy(at + sizeof when, &device->number, sizeof device->number);
    device->out_length += (size_t)(at - start) + (size_t)option.payload;
    device->acknowledged = !option.qos;
    device->arrived = option.unheard;
    device->sent++;
    published++;
}

static bool in_closed_loop(void) { return !option.idle && !option.once && !option.churn && !option.flood && option.rate == 0; }

static void publish(struct Device *device, uint64_t when) {
    publish_packet(device, when);
    flush(device);
}

static void go_on(struct Device *device) {
    if (!running || !in_closed_loop() || device->state != READY || !device->acknowledged || !device->arrived) return;
    if (device->under_way) device->under_way = false, under_way--;
    waiting[waiting_end++ % (uint64_t)option.devices] = device;
    while (under_way < option.window && waiting_first < waiting_end) {
        struct Device *next = waiting[waiting_first++ % (uint64_t)option.devices];
        if (next->state != READY) continue;
        next->under_way = true, under_way++;
        publish(next, now());
    }
}

static void flood(struct Device *device) {
    while (device->state == READY && device->out_length < FLOOD_BYTES) publish_packet(device, now());
    flush(device);
}

/* --- connecting -------------------------------------------------------------------------------------------------- */

static void dial(struct Device *device) {
    int one = 1;
    device->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (device->fd < 0) fail("socket");
    setsockopt(device->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    device->started = now();
    device->state = DIALLING;
    device->acknowledged = device->arrived = true;
    in_dialling++;
    if (connect(device->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) fail("connect");
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = device};
    device->wants_write = true;
    epoll_ctl(poller, EPOLL_CTL_ADD, device->fd, &event);
}

static void shake_hands(struct Device *device) {
    ERR_clear_error();
    int done = SSL_do_handshake(device->ssl);
    if (done == 1) {
        device->state = ASKING;
        watch(device, false);
        connect_packet(device);
        return;
    }
    int why = SSL_get_error(device->ssl, done);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) watch(device, why == SSL_ERROR_WANT_WRITE);
    else give_up(device);
}

static void dialled_through(struct Device *device) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(device->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) { give_up(device); return; }
    if (!option.tls_folder) {
        device->state = ASKING;
        watch(device, false);
        connect_packet(device);
        return;
    }
    device->ssl = SSL_new(identities[device->number % option.identities]);
    SSL_set_fd(device->ssl, device->fd);
    SSL_set_connect_state(device->ssl);
    device->state = SHAKING;
    shake_hands(device);
}

static void connected(struct Device *device) {
    record(&connecting, now() - device->started);
    connects++;
    in_dialling--;
    device->state = READY;
    if ((option.once || option.churn) && device != subscriber) {
        if (option.once) publish_packet(device, now());
        uint8_t *at = room_for(device, 2);
        at[0] = 0xe0, at[1] = 0; /* DISCONNECT */
        device->out_length += 2;
        flush(device);
        if (device->state == READY) leave(device, CLOSED);
        if (option.churn) dial(device);
    } else if (option.flood && running) {
        flood(device);
    }
}

static void dial_more(void) {
    while (dialled < option.devices && in_dialling < option.parallel) dial(&devices[dialled++]);
}

static void give_up_late_ones(void) {
    uint64_t limit = (uint64_t)option.timeout * 1000000000u, at = now();
    for (int n = 0; n < all; n++) {
        struct Device *device = &devices[n];
        if (device->state > CLOSED && device->state < READY && at - device->started > limit) {
            timeouts++;
            leave(device, FAILED);
        }
    }
}

/* --- what comes in ----------------------------------------------------------------------------------------------- */

static void arrived(const uint8_t *body, size_t length, int qos) {
    size_t topic = (size_t)(body[0] << 8 | body[1]), start = 2 + topic + (qos ? 2 : 0);
    uint64_t when;
    int number;
    if (qos) {
        uint8_t *at = room_for(subscriber, 4);
        at[0] = 0x40, at[1] = 2, at[2] = body[2 + topic], at[3] = body[3 + topic];
        subscriber->out_length += 4;
    }
    if (length < start + sizeof when + sizeof number) return;
    memcpy(&when, body + start, sizeof when);
    memcpy(&number, body + start + sizeof when, sizeof number);
    messages++;
    if (when >= phase_started) record(&latency, now() - when);
    if (number < 0 || number >= option.devices) return;
    devices[number].arrived = true;
    go_on(&devices[number]);
}

static void packet(struct Device *device, uint8_t head, const uint8_t *body, size_t length) {
    switch (head >> 4) {
    case 2: /* CONNACK */
        if (length < 2 || body[1]) { give_up(device); return; }
        if (device == subscriber) {
            device->state = SUBSCRIBING;
            subscribe_packet(device);
        } else connected(device);
        return;
    case 9: /* SUBACK */
        if (length < 3 || body[2] & 0x80) give_up(device);
        else connected(device);
        return;
    case 3: /* PUBLISH */
        arrived(body, length, head >> 1 & 3);
        return;
    case 4: /* PUBACK */
        device->acknowledged = true;
        go_on(device);
        return;
    }
}

/* Takes the whole packets from what was read. */
static void packets(struct Device *device) {
    size_t start = 0;
    while (device->in_length - start >= 2) {
        size_t at = start + 1, length = 0, shift = 0;
        while (at < device->in_length && device->in[at] & 0x80) length |= (size_t)(device->in[at++] & 0x7f) << shift, shift += 7;
        if (at >= device->in_length) break;
        length |= (size_t)device->in[at++] << shift;
        if (device->in_length - at < length) break;
        packet(device, device->in[start], device->in + at, length);
        if (device->state < ASKING || device->state == FAILED) return; /* it left, or began anew */
        start = at + length;
    }
    device->in_length -= start;
    memmove(device->in, device->in + start, device->in_length);
    if (device->in_length == device->in_room) fail("a packet is too large");
}

static void readable(struct Device *device) {
    for (;;) {
        ssize_t got = receive(device);
        if (got < 0) { give_up(device); return; }
        if (!got) break;
        device->in_length += (size_t)got;
        packets(device);
        if (device->state < ASKING || device->state == FAILED || !device->ssl) break;
    }
    if (device == subscriber && device->out_length && device->state == READY) flush(device);
}

static void happened(struct Device *device, uint32_t events) {
    if (device->state == CLOSED || device->state == FAILED) return;
    if (device->state == DIALLING) {
        dialled_through(device);
    } else if (device->state == SHAKING) {
        shake_hands(device);
        if (device->state == ASKING) readable(device); /* the answer may already be in OpenSSL's hands */
    } else {
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(device);
        if (events & EPOLLOUT && device->state >= ASKING && device->state != FAILED) {
            if (option.flood && device->state == READY) flood(device);
            else flush(device);
        }
    }
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static void on_timetable(void) {
    uint64_t at = now();
    for (int skipped = 0; due <= at && skipped < option.devices; due += step) {
        struct Device *device = &devices[next_in_turn++ % (uint64_t)option.devices];
        if (device->state == READY) publish(device, due), skipped = 0;
        else skipped++;
    }
    struct itimerspec next = {.it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &next, NULL);
}

static void start_running(void) {
    running = true;
    end_phase();
    for (int n = 0; n < option.devices; n++) {
        if (option.flood && devices[n].state == READY) flood(&devices[n]);
        else go_on(&devices[n]);
    }
    if (option.rate > 0) {
        step = (uint64_t)(1e9 / option.rate);
        on_timetable();
    }
}

static bool all_settled(void) {
    if (dialled < option.devices) return false;
    if (option.churn) return connects > 0;
    return in_dialling == 0;
}

static bool command(void) {
    char line[256];
    if (read(0, line, sizeof line) <= 0) return false;
    end_phase();
    return true;
}

static void turn(struct epoll_event *events, bool *over) {
    static uint64_t looked;
    int count = epoll_wait(poller, events, EVENTS, 100);
    for (int n = 0; n < count; n++) {
        if (events[n].data.ptr == &timer) on_timetable();
        else if (events[n].data.ptr) happened(events[n].data.ptr, events[n].events);
        else if (!command()) *over = true;
    }
    if (dialled < option.devices) dial_more();
    if (now() - looked > 100000000u) looked = now(), give_up_late_ones();
    if (!running && all_settled()) start_running();
}

static void load_identities(void) {
    char path[4096];
    identities = calloc((size_t)option.identities, sizeof *identities);
    for (int n = 0; n < option.identities; n++) {
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        snprintf(path, sizeof path, "%s/ca.pem", option.tls_folder);
        if (SSL_CTX_load_verify_locations(context, path, NULL) != 1) fail(path);
        snprintf(path, sizeof path, "%s/%d.pem", option.tls_folder, n);
        if (SSL_CTX_use_certificate_chain_file(context, path) != 1) fail(path);
        snprintf(path, sizeof path, "%s/%d.key", option.tls_folder, n);
        if (SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) != 1) fail(path);
        identities[n] = context;
    }
}

static void read_options(int count, char **words) {
    if (count < 3) fail("usage: mqttload HOST PORT [options]; see the head of its source");
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(words[2]));
    if (inet_pton(AF_INET, words[1], &address.sin_addr) != 1) fail(words[1]);
    for (int n = 3; n < count; n++) {
        const char *word = words[n], *value = n + 1 < count ? words[n + 1] : "";
        if (!strcmp(word, "--flood")) option.flood = true;
        else if (!strcmp(word, "--idle")) option.idle = true;
        else if (!strcmp(word, "--once")) option.once = true, option.qos = 0;
        else if (!strcmp(word, "--churn")) option.churn = true;
        else if (!strcmp(word, "--fresh-topics")) option.fresh_topics = true;
        else if (!strcmp(word, "--unheard")) option.unheard = true;
        else if (n++, !strcmp(word, "--devices")) option.devices = atoi(value);
        else if (!strcmp(word, "--name")) option.name = value;
        else if (!strcmp(word, "--topic")) option.topic = value;
        else if (!strcmp(word, "--qos")) option.qos = atoi(value);
        else if (!strcmp(word, "--payload")) option.payload = atoi(value);
        else if (!strcmp(word, "--rate")) option.rate = atof(value);
        else if (!strcmp(word, "--window")) option.window = atoi(value);
        else if (!strcmp(word, "--parallel")) option.parallel = atoi(value);
        else if (!strcmp(word, "--timeout")) option.timeout = atoi(value);
        else if (!strcmp(word, "--tls") && n + 1 < count) option.tls_folder = value, option.identities = atoi(words[++n]);
        else fail(word);
    }
    if (option.payload < 12 || option.devices < 1) fail("a payload of 12 bytes and one device are the least");
    if (option.idle || option.once || option.churn) option.unheard = true;
}

static void allow_open_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void make_devices(void) {
    all = option.devices + !option.unheard;
    devices = calloc((size_t)all, sizeof *devices);
    waiting = calloc((size_t)option.devices, sizeof *waiting);
    if (!option.unheard) subscriber = &devices[option.devices];
    for (int n = 0; n < all; n++) {
        struct Device *device = &devices[n];
        device->number = n;
        device->in_room = device == subscriber ? LARGE : SMALL;
        device->out_room = SMALL;
        device->in = malloc(device->in_room);
        device->out = malloc(device->out_room);
        if (!device->in || !device->out) fail("out of memory");
    }
}

int main(int count, char **words) {
    struct epoll_event events[EVENTS];
    bool over = false;
    signal(SIGPIPE, SIG_IGN);
    read_options(count, words);
    allow_open_files();
    if (option.tls_folder) load_identities();
    make_devices();
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, tick = {.events = EPOLLIN, .data.ptr = &timer};
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input);
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &tick);
    begin_phase();
    if (subscriber) dial(subscriber);
    while (!over) turn(events, &over);
    return 0;
}
