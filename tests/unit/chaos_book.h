/* What a randomized test knows to be true: every publication, and which of them was seen at which
 * epoch and offset, by whomever. Anything that contradicts it ends the test with the seed.
 *
 * Include once. Thread: main. Owns: the publications.
 */
#ifndef CARILLON_TESTS_CHAOS_BOOK_H
#define CARILLON_TESTS_CHAOS_BOOK_H

#include "channels/delta.h"
#include "tests/unit/redis_testing.h"

enum { CHANNELS = 20, EVENTS_KEPT = 1000, BIG_BYTES = 200000 };

struct profile {
    const char *name;
    struct keep keep;
    bool is_big;
    bool is_safe; /* so much is kept that nothing goes while Redis lives */
};

enum publication_state { PUB_OPEN, PUB_REFUSED, PUB_ACKED };

struct publication {
    enum publication_state state;
    bool may_be_done;  /* sent and not answered, at least once */
    bool may_be_lost;  /* Redis came back without what was written last */
    uint8_t attempts;  /* so far */
    uint64_t sent_seq; /* of the first attempt */
    uint64_t acked_seq;
    struct position seen; /* the last time; offset 0: never */
};

/* The publications of an epoch, by offset. */
struct epoch {
    char name[EPOCH_BYTES];
    uint32_t *numbers; /* of publications, from 1; 0: not seen */
    uint64_t capacity, top;
};

struct channel {
    char name[8];
    uint32_t index;
    const struct profile *profile;
    struct publication *publications;
    uint32_t count, capacity;
    struct epoch *epochs;
    uint32_t epoch_count;
    uint64_t removed_seq[NODES_MAX_IN_TEST]; /* when this node was asked to, and did */
};

static struct book {
    uint64_t seed, random, seq;
    bool is_gentle; /* nothing is done that makes Redis lose what it has acknowledged */
    struct channel channels[CHANNELS];
    char events[EVENTS_KEPT][100];
    uint32_t event_count;
    char *expected; /* scratch for payloads */
} book;

static inline uint64_t next_seq(void) {
    return ++book.seq;
}

/* --- chance ----------------------------------------------------------------------------------- */

/* xorshift64*; below n. */
static inline uint32_t draw(uint32_t n) {
    book.random ^= book.random >> 12;
    book.random ^= book.random << 25;
    book.random ^= book.random >> 27;
    return (uint32_t)((book.random * 0x2545F4914F6CDD1DULL) >> 33) % n;
}

/* --- what went wrong -------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static inline void note(const char *format, ...) {
    char *line = book.events[book.event_count++ % EVENTS_KEPT];
    int n = snprintf(line, sizeof(*book.events), "%llu: ", (unsigned long long)book.seq);
    va_list list;
    va_start(list, format);
    vsnprintf(line + n, sizeof(*book.events) - (size_t)n, format, list);
    va_end(list);
}

__attribute__((format(printf, 1, 2))) static inline void violation(const char *format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    uint32_t from = book.event_count > EVENTS_KEPT ? book.event_count - EVENTS_KEPT : 0;
    for (uint32_t i = from; i < book.event_count; i++)
        print_message("    %s\n", book.events[i % EVENTS_KEPT]);
    fail_msg("%s (at %llu; again: CARILLON_TEST_SEED=%llu)", text, (unsigned long long)book.seq,
             (unsigned long long)book.seed);
}

/* --- payloads --------------------------------------------------------------------------------- */

static inline bool is_same_place(const struct position *a, const struct position *b) {
    return memcmp(a->epoch, b->epoch, EPOCH_BYTES) == 0 && a->offset == b->offset;
}

static inline bool is_epoch_of(const struct position *p, const char *epoch) {
    return memcmp(p->epoch, epoch, EPOCH_BYTES) == 0;
}

/* The text of publication `number` of a channel; valid until the next call. */
static inline struct str payload_of(const struct channel *c, uint32_t number) {
    size_t pad = c->profile->is_big ? BIG_BYTES + number % 97 : number * 7 % 41;
    if (!book.expected)
        book.expected = mem_alloc(BIG_BYTES + 200);
    int n = snprintf(book.expected, 64, "\"%s-%u-", c->name, number);
    memset(book.expected + n, 'a' + (int)(number % 26), pad);
    book.expected[(size_t)n + pad] = '"';
    return (struct str){book.expected, (size_t)n + pad + 1};
}

/* 0: it is none of ours. */
static inline uint32_t number_of(const struct channel *c, struct str data) {
    char name[8] = "", start[40] = "";
    unsigned number = 0;
    memcpy(start, data.p, data.n < sizeof(start) - 1 ? data.n : sizeof(start) - 1);
    if (sscanf(start, "\"%7[^-]-%u-", name, &number) != 2 || strcmp(name, c->name) != 0 ||
        number == 0 || number > c->count || !str_equal(data, payload_of(c, number)))
        return 0;
    return number;
}

/* --- the table -------------------------------------------------------------------------------- */

static inline struct epoch *epoch_of(struct channel *c, const struct position *p) {
    for (uint32_t i = c->epoch_count; i-- > 0;)
        if (is_epoch_of(p, c->epochs[i].name))
            return &c->epochs[i];
    c->epochs = mem_realloc(c->epochs, (c->epoch_count + 1) * sizeof(*c->epochs));
    struct epoch *e = &c->epochs[c->epoch_count++];
    *e = (struct epoch){0};
    memcpy(e->name, p->epoch, EPOCH_BYTES);
    return e;
}

static inline uint32_t *cell_of(struct channel *c, const struct position *p) {
    struct epoch *e = epoch_of(c, p);
    if (p->offset > 10000000)
        violation("%s: offset %llu is absurd", c->name, (unsigned long long)p->offset);
    if (p->offset >= e->capacity) {
        uint64_t capacity = e->capacity ? e->capacity * 2 : 64;
        while (capacity <= p->offset)
            capacity *= 2;
        e->numbers = mem_realloc(e->numbers, capacity * sizeof(*e->numbers));
        memset(e->numbers + e->capacity, 0, (capacity - e->capacity) * sizeof(*e->numbers));
        e->capacity = capacity;
    }
    if (p->offset > e->top)
        e->top = p->offset;
    return &e->numbers[p->offset];
}

static inline struct publication *publication_at(struct channel *c, uint32_t number) {
    return &c->publications[number - 1];
}

/* This publication is at this place; for everybody and for ever. */
static inline void enter_place(struct channel *c, uint32_t number, const struct position *at) {
    struct publication *p = publication_at(c, number);
    uint32_t *cell = cell_of(c, at);
    if (*cell && *cell != number)
        violation("%s %.8s/%llu is publication %u, and %u elsewhere", c->name, at->epoch,
                  (unsigned long long)at->offset, number, *cell);
    *cell = number;
    if (p->seen.offset && p->seen.offset != at->offset && !p->may_be_lost)
        violation("%s: publication %u is at %.8s/%llu and at %.8s/%llu", c->name, number,
                  p->seen.epoch, (unsigned long long)p->seen.offset, at->epoch,
                  (unsigned long long)at->offset);
    p->seen = *at;
    if (p->state == PUB_REFUSED && !p->may_be_done)
        violation("%s: publication %u came, but its publisher was told that nothing was done",
                  c->name, number);
}

/* Gives the number of a publication that somebody got. */
static inline uint32_t enter_msg(struct channel *c, const struct msg *m) {
    uint32_t number = number_of(c, m->parts.data);
    if (!number)
        violation("%s %llu: this was never published: %.*s", c->name,
                  (unsigned long long)m->position.offset,
                  (int)(m->parts.data.n < 60 ? m->parts.data.n : 60), m->parts.data.p);
    if (!m->position.offset)
        violation("%s: publication %u has no offset", c->name, number);
    enter_place(c, number, &m->position);
    return number;
}

/* Gives its number. */
static inline uint32_t add_publication(struct channel *c) {
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 64;
        c->publications = mem_realloc(c->publications, c->capacity * sizeof(*c->publications));
    }
    c->publications[c->count] = (struct publication){.sent_seq = next_seq()};
    return ++c->count;
}

/* Redis came back as it was at `kept_seq`; 0: empty. */
static inline void note_loss(uint64_t kept_seq) {
    for (uint32_t i = 0; i < CHANNELS; i++)
        for (uint32_t k = 0; k < book.channels[i].count; k++) {
            struct publication *p = &book.channels[i].publications[k];
            p->may_be_lost |= p->state != PUB_ACKED || p->acked_seq > kept_seq;
        }
}

static inline void open_book(uint64_t seed, bool is_gentle, const struct profile *const *profiles) {
    book.seed = seed;
    book.random = seed * 2654435769u + 88172645463325252u;
    book.is_gentle = is_gentle;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        struct channel *c = &book.channels[i];
        *c = (struct channel){.index = i, .profile = profiles[i]};
        snprintf(c->name, sizeof(c->name), "c%02u", i);
    }
}

static inline void close_book(void) {
    for (uint32_t i = 0; i < CHANNELS; i++) {
        struct channel *c = &book.channels[i];
        for (uint32_t k = 0; k < c->epoch_count; k++)
            mem_free(c->epochs[k].numbers);
        mem_free(c->epochs);
        mem_free(c->publications);
    }
    mem_free(book.expected);
    memset(&book, 0, sizeof(book));
}

#endif
