/* See history.h. A map of streams; in each a ring of pointers to records. A record is one
 * publication: the lengths of its texts, 7 bits per byte, and the texts. A message struct would
 * cost 150 bytes more, and is made when somebody reads.
 *
 * The kept records always are the last `count` of the stream, so offsets need no room.
 *
 * Expiry: a heap of all streams by time. The time in it may be too early: publishing moves the
 * stream's own times only, and history_expire puts the stream where it belongs when it comes up. So
 * a publication to a busy channel does not touch the heap.
 *
 * Thread: one at a time.
 */
#include "channels/history.h"

#include "server/base/list.h"
#include "server/base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 6, RECORDS_MIN = 4, DUE_MIN = 16 };

struct stream {
    struct map_node node; /* key = name */
    char epoch[EPOCH_BYTES];
    uint64_t top;
    uint64_t version, version_epoch; /* the epoch's hash; 0: none */
    uint64_t content_due_ms;         /* of the records, when there are any */
    uint64_t meta_due_ms, meta_ttl_ms;
    unsigned char **records; /* a ring of `capacity` */
    uint32_t first, count, capacity;
    uint32_t due_at; /* index in the heap */
    char name[];
};

struct history_due {
    uint64_t at_ms; /* not later than when something of the stream is over */
    struct stream *stream;
};

/* --- records ---------------------------------------------------------------------------------- */

static unsigned char *put_length(unsigned char *to, size_t n) {
    for (; n >= 0x80; n >>= 7)
        *to++ = (unsigned char)(n | 0x80);
    *to++ = (unsigned char)n;
    return to;
}

static const unsigned char *get_length(const unsigned char *from, size_t *n) {
    *n = 0;
    for (unsigned shift = 0;; shift += 7) {
        *n |= (size_t)(*from & 0x7f) << shift;
        if (!(*from++ & 0x80))
            return from;
    }
}

static unsigned char *pack(const struct msg_parts *p, size_t *size_bytes) {
    const struct str texts[TEXTS] = {p->data,   p->tags,      p->user,
                                     p->client, p->conn_info, p->chan_info};
    unsigned char lengths[TEXTS * 10], *end = lengths;
    size_t texts_bytes = 0;
    for (int i = 0; i < TEXTS; i++) {
        end = put_length(end, texts[i].n);
        texts_bytes += texts[i].n;
    }
    size_t lengths_bytes = (size_t)(end - lengths);
    unsigned char *record = mem_alloc(lengths_bytes + texts_bytes), *at = record + lengths_bytes;
    memcpy(record, lengths, lengths_bytes);
    for (int i = 0; i < TEXTS; i++) {
        if (texts[i].n)
            memcpy(at, texts[i].p, texts[i].n);
        at += texts[i].n;
    }
    *size_bytes = lengths_bytes + texts_bytes;
    return record;
}

/* Gives the size of the record. */
static size_t unpack(const unsigned char *record, struct msg_parts *p) {
    struct str *const texts[TEXTS] = {&p->data,   &p->tags,      &p->user,
                                      &p->client, &p->conn_info, &p->chan_info};
    const unsigned char *at = record;
    for (int i = 0; i < TEXTS; i++)
        at = get_length(at, &texts[i]->n);
    for (int i = 0; i < TEXTS; i++) {
        texts[i]->p = (const char *)at;
        at += texts[i]->n;
    }
    return (size_t)(at - record);
}

/* --- the records of a stream ------------------------------------------------------------------ */

static unsigned char **record_at(const struct stream *s, uint32_t i) {
    uint32_t left = s->capacity - s->first; /* before the ring's end */
    return &s->records[i < left ? s->first + i : i - left];
}

static void set_capacity(struct history *h, struct stream *s, uint32_t capacity) {
    unsigned char **records = capacity ? mem_array(capacity, sizeof(*records)) : NULL;
    assert(s->count <= capacity);
    for (uint32_t i = 0; i < s->count; i++)
        records[i] = *record_at(s, i);
    h->bytes -= s->capacity * sizeof(*records);
    h->bytes += capacity * sizeof(*records);
    mem_free(s->records);
    s->records = records;
    s->first = 0;
    s->capacity = capacity;
}

static void drop_oldest(struct history *h, struct stream *s) {
    struct msg_parts ignored;
    unsigned char *record = *record_at(s, 0);
    h->bytes -= unpack(record, &ignored);
    h->message_count--;
    mem_free(record);
    s->first = s->first + 1 == s->capacity ? 0 : s->first + 1;
    s->count--;
}

static void drop_content(struct history *h, struct stream *s) {
    while (s->count)
        drop_oldest(h, s);
    set_capacity(h, s, 0);
}

static void keep_record(struct history *h, struct stream *s, const struct msg_parts *p,
                        uint32_t size) {
    size_t record_bytes;
    while (s->count && s->count >= size)
        drop_oldest(h, s);
    if (size == 0 || s->capacity > size) {
        set_capacity(h, s, size);
    } else if (s->count == s->capacity) {
        uint32_t more = s->capacity ? s->capacity * 2 : RECORDS_MIN;
        set_capacity(h, s, s->capacity > size / 2 || more > size ? size : more);
    }
    if (size == 0)
        return;
    *record_at(s, s->count) = pack(p, &record_bytes);
    s->count++;
    h->message_count++;
    h->bytes += record_bytes;
}

/* --- the heap --------------------------------------------------------------------------------- */

static void put_due(struct history *h, uint32_t i, struct history_due d) {
    h->due[i] = d;
    d.stream->due_at = i;
}

/* Fills the hole at i with d, towards the top or the bottom. */
static void settle_due(struct history *h, uint32_t i, struct history_due d) {
    uint32_t count = (uint32_t)h->streams.count;
    for (; i > 0 && d.at_ms < h->due[(i - 1) / 2].at_ms; i = (i - 1) / 2)
        put_due(h, i, h->due[(i - 1) / 2]);
    for (uint32_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && h->due[child + 1].at_ms < h->due[child].at_ms)
            child++;
        if (d.at_ms <= h->due[child].at_ms)
            break;
        put_due(h, i, h->due[child]);
    }
    put_due(h, i, d);
}

static uint64_t due_ms(const struct stream *s) {
    return s->count ? s->content_due_ms : s->meta_due_ms; /* the meta never goes first */
}

static void set_due_capacity(struct history *h, uint32_t capacity) {
    h->bytes += capacity * sizeof(*h->due);
    h->bytes -= h->due_capacity * sizeof(*h->due);
    h->due = mem_realloc(h->due, capacity * sizeof(*h->due));
    h->due_capacity = capacity;
}

/* The stream is in the map already. */
static void add_due(struct history *h, struct stream *s) {
    uint32_t last = (uint32_t)h->streams.count - 1;
    if (last == h->due_capacity)
        set_due_capacity(h, last ? last * 2 : DUE_MIN);
    settle_due(h, last, (struct history_due){UINT64_MAX, s});
}

/* The stream is no longer in the map. */
static void remove_due(struct history *h, const struct stream *s) {
    uint32_t count = (uint32_t)h->streams.count;
    if (s->due_at < count)
        settle_due(h, s->due_at, h->due[count]);
    if (h->due_capacity > DUE_MIN && count < h->due_capacity / 4)
        set_due_capacity(h, h->due_capacity / 2);
}

/* --- streams ---------------------------------------------------------------------------------- */

static size_t stream_bytes(const struct stream *s) {
    return sizeof(*s) + s->node.key.n;
}

static uint32_t *generation_of(struct history *h, uint64_t hash) {
    return &h->generations[(hash >> 32) % HISTORY_GENERATIONS]; /* the map uses the low bits */
}

static struct position derived_position(struct history *h, uint64_t hash) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const uint64_t input[2] = {hash, *generation_of(h, hash)};
    struct position p = {0};
    union {
        unsigned char bytes[crypto_shorthash_BYTES];
        uint64_t number;
    } out;
    static_assert(sizeof(h->secret) == crypto_shorthash_KEYBYTES, "the secret is a key");
    crypto_shorthash(out.bytes, (const unsigned char *)input, sizeof(input), h->secret);
    for (int i = 0; i < EPOCH_BYTES; i++, out.number /= sizeof(letters) - 1)
        p.epoch[i] = letters[out.number % (sizeof(letters) - 1)];
    return p;
}

static struct position position_of(const struct stream *s) {
    struct position p = {.offset = s->top};
    memcpy(p.epoch, s->epoch, EPOCH_BYTES);
    return p;
}

static struct stream *make_stream(struct history *h, const struct msg *m) {
    struct str name = m->parts.channel;
    struct stream *s = mem_zalloc(sizeof(*s) + name.n);
    struct position p = derived_position(h, m->channel_hash);
    assert(h->streams.count < UINT32_MAX / 2);
    memcpy(s->epoch, p.epoch, EPOCH_BYTES);
    if (name.n)
        memcpy(s->name, name.p, name.n);
    map_insert(&h->streams, &s->node, (struct str){s->name, name.n});
    h->bytes += stream_bytes(s);
    add_due(h, s);
    return s;
}

static void forget(struct history *h, struct stream *s) {
    /* If it begins again, then in another epoch. */
    ++*generation_of(h, s->node.hash);
    drop_content(h, s);
    map_remove(&h->streams, &s->node);
    remove_due(h, s);
    h->bytes -= stream_bytes(s);
    mem_free(s);
}

/* The stream as it is now: what is over is dropped first. NULL when there is none. */
static struct stream *find(struct history *h, struct str channel, uint64_t hash, uint64_t now_ms) {
    struct map_node *n = map_find_hashed(&h->streams, channel, hash);
    struct stream *s = n ? list_entry(n, struct stream, node) : NULL;
    if (!s)
        return NULL;
    if (s->count && s->content_due_ms <= now_ms)
        drop_content(h, s);
    if (s->meta_due_ms > now_ms)
        return s;
    forget(h, s);
    return NULL;
}

static uint64_t after(uint64_t now_ms, uint64_t ttl_ms) {
    return ttl_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ttl_ms;
}

static void renew_meta(struct stream *s, uint64_t now_ms) {
    uint64_t due = after(now_ms, s->meta_ttl_ms);
    if (due > s->meta_due_ms)
        s->meta_due_ms = due;
}

static void renew(struct history *h, struct stream *s, const struct keep *k, uint64_t now_ms) {
    s->content_due_ms = after(now_ms, k->ttl_ms);
    s->meta_ttl_ms = k->meta_ttl_ms;
    /* Kept publications without their epoch would be of no use. */
    s->meta_due_ms = s->count ? s->content_due_ms : now_ms;
    renew_meta(s, now_ms);
    if (due_ms(s) < h->due[s->due_at].at_ms)
        settle_due(h, s->due_at, (struct history_due){due_ms(s), s});
}

/* The stream for a reader, who keeps its meta alive. */
static struct stream *find_to_read(struct history *h, struct str channel, uint64_t hash,
                                   uint64_t now_ms) {
    struct stream *s = find(h, channel, hash, now_ms);
    if (s)
        renew_meta(s, now_ms);
    return s;
}

/* --- versions --------------------------------------------------------------------------------- */

static uint64_t version_epoch(const struct history_version *v) {
    return v->epoch.n ? map_hash(v->epoch) : 0;
}

static bool is_stale(const struct stream *s, const struct history_version *v) {
    return v->number <= s->version && (v->epoch.n == 0 || version_epoch(v) == s->version_epoch);
}

/* --- public ----------------------------------------------------------------------------------- */

void history_init(struct history *h) {
    *h = (struct history){0};
    map_init(&h->streams);
    /* Epochs that somebody can foresee are no worse, but ones that repeat after a restart are. */
    if (sodium_init() < 0)
        abort();
    randombytes_buf(h->secret, sizeof(h->secret));
}

void history_fini(struct history *h) {
    while (h->streams.count)
        forget(h, h->due[h->streams.count - 1].stream);
    map_fini(&h->streams);
    mem_free(h->due);
    h->due = NULL;
}

bool history_add(struct history *h, struct msg *m, const struct keep *k,
                 const struct history_version *v, uint64_t now_ms) {
    bool has_version = v && v->number;
    struct stream *s = find(h, m->parts.channel, m->channel_hash, now_ms);
    if (s && has_version && is_stale(s, v)) {
        m->position = position_of(s);
        return false;
    }
    if (!s)
        s = make_stream(h, m);
    s->top++;
    if (has_version) {
        s->version = v->number;
        s->version_epoch = version_epoch(v);
    }
    keep_record(h, s, &m->parts, k->size);
    renew(h, s, k, now_ms);
    m->position = position_of(s);
    return true;
}

struct str history_last_data(struct history *h, struct str channel, uint64_t now_ms) {
    struct stream *s = find(h, channel, map_hash(channel), now_ms);
    struct msg_parts parts;
    if (!s || s->count == 0)
        return STR_NONE;
    unpack(*record_at(s, s->count - 1), &parts);
    return parts.data;
}

void history_top(struct history *h, struct str channel, uint64_t now_ms, struct position *out) {
    uint64_t hash = map_hash(channel);
    const struct stream *s = find_to_read(h, channel, hash, now_ms);
    *out = s ? position_of(s) : derived_position(h, hash);
}

/* Gives how many records answer the question, without its limits, and the index of the first. */
static uint32_t find_range(const struct stream *s, const struct history_reply *r, uint32_t *first) {
    uint64_t gone = s->top - s->count; /* the newest that is not kept any more */
    if (!r->is_reverse) {
        uint64_t since = r->has_since && r->since.offset > gone ? r->since.offset : gone;
        if (since >= s->top)
            return 0;
        *first = (uint32_t)(since - gone);
        return (uint32_t)(s->top - since);
    }
    uint64_t before = r->has_since ? r->since.offset : s->top + 1;
    if (before > s->top + 1 || before <= gone + 1)
        return 0;
    *first = (uint32_t)(before - gone - 2);
    return *first + 1;
}

static struct msg *make_msg(const struct stream *s, uint32_t i, struct msg_parts *parts) {
    struct msg *m = msg_create(parts);
    m->position = position_of(s);
    m->position.offset = s->top - s->count + 1 + i;
    return m;
}

static void read_range(const struct stream *s, struct history_reply *r, uint32_t first,
                       uint32_t count) {
    uint64_t bytes = 0;
    r->items = mem_array(count, sizeof(*r->items));
    for (r->count = 0; r->count < count; r->count++) {
        struct msg_parts parts = {.kind = MSG_PUBLICATION, .channel = s->node.key};
        uint32_t i = r->is_reverse ? first - r->count : first + r->count;
        bytes += unpack(*record_at(s, i), &parts) + HISTORY_FRAME_BYTES;
        if (r->max_bytes && bytes > r->max_bytes && r->count) {
            r->is_cut = true;
            return;
        }
        r->items[r->count] = make_msg(s, i, &parts);
    }
}

void history_read(struct history *h, struct str channel, struct history_reply *r, uint64_t now_ms) {
    static const char any_epoch[EPOCH_BYTES];
    uint64_t hash = map_hash(channel);
    const struct stream *s = find_to_read(h, channel, hash, now_ms);
    uint32_t first = 0, count = 0;
    r->top = s ? position_of(s) : derived_position(h, hash);
    r->is_cut = false;
    r->items = NULL;
    r->count = 0;
    r->is_other_epoch = r->has_since && memcmp(r->since.epoch, any_epoch, EPOCH_BYTES) != 0 &&
                        memcmp(r->since.epoch, r->top.epoch, EPOCH_BYTES) != 0;
    if (s && !r->is_other_epoch)
        count = find_range(s, r, &first);
    if (count > r->limit)
        count = r->limit;
    if (count)
        read_range(s, r, first, count);
}

void history_remove(struct history *h, struct str channel) {
    struct map_node *n = map_find(&h->streams, channel);
    if (n)
        drop_content(h, list_entry(n, struct stream, node));
}

/* Drops of one stream what is over. Gives how much that was, the stream included. */
static uint32_t expire_stream(struct history *h, struct stream *s, uint64_t now_ms, uint32_t max) {
    uint32_t dropped = 0;
    for (; s->count && s->content_due_ms <= now_ms && dropped < max; dropped++)
        drop_oldest(h, s);
    if (s->count == 0)
        set_capacity(h, s, 0);
    if (s->count == 0 && s->meta_due_ms <= now_ms)
        forget(h, s);
    else
        settle_due(h, s->due_at, (struct history_due){due_ms(s), s});
    return dropped + 1;
}

uint32_t history_expire(struct history *h, uint64_t now_ms, uint32_t max) {
    uint32_t done = 0;
    while (done < max && h->streams.count && h->due[0].at_ms <= now_ms)
        done += expire_stream(h, h->due[0].stream, now_ms, max - done);
    return done;
}

void history_count(const struct history *h, struct history_counts *sum) {
    sum->channels += h->streams.count;
    sum->messages += h->message_count;
    sum->bytes += h->bytes + h->streams.bucket_count * sizeof(*h->streams.buckets);
}
