/* What it costs to verify a token's signature, with each algorithm, and to refuse nonsense.
 *
 *   bench-jws [BATCHES]      default: 50
 *
 * A batch is 20 to 1000 verifications; printed are the fastest, the middle and the slowest batch,
 * in microseconds of one core's time for each verification. The memory is what the allocator has
 * given out more after 100,000 verifications than before. Exits with 1 when HS256 takes 5 us or
 * more, ES256 100, EdDSA 80, a refusal 10 (by the fastest batch: the others are the machine's), or
 * when memory grows.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/jws.h"

#include "tests/unit/key_testing.h"

#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HEADER STR("{\"alg\":\"@\",\"typ\":\"JWT\"}")
#define PAYLOAD STR("{\"sub\":\"alice\",\"exp\":1999999999,\"info\":{\"name\":\"Alice\"}}")

enum { BATCHES_MAX = 1000, FLAT_COUNT = 100000 };

static int batches = 50;
static bool is_bad;

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void verify(struct str token, const struct jws_keys *keys, bool is_good) {
    struct buf payload = {0};
    const char *fault;
    if (jws_verify(token, keys, &payload, &fault, 0) != is_good)
        abort();
    buf_fini(&payload);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* limit_us 0: none. */
static void measure(const char *name, struct str token, const struct jws_keys *keys, bool is_good,
                    double limit_us) {
    static double us[BATCHES_MAX];
    double start = cpu_us();
    verify(token, keys, is_good);
    double first = cpu_us() - start;
    int count = first > 50 ? 20 : first > 5 ? 100 : 1000;
    for (int i = 0; i < batches; i++) {
        start = cpu_us();
        for (int k = 0; k < count; k++)
            verify(token, keys, is_good);
        us[i] = (cpu_us() - start) / count;
    }
    qsort(us, (size_t)batches, sizeof(us[0]), compare);
    printf("%-28s %8.2f %8.2f %8.2f", name, us[0], us[batches / 2], us[batches - 1]);
    if (limit_us > 0)
        printf("   limit %.0f%s", limit_us, us[batches / 2] < limit_us ? "" : " MISSED");
    putchar('\n');
    is_bad |= limit_us > 0 && us[batches / 2] >= limit_us;
}

static void measure_public(const struct public_algorithm *a, struct buf *token) {
    struct jwk *k = jwk_of_pair(pair_of(a->pair), a->pair);
    struct jws_keys keys = {.rsa = k, .ecdsa = k, .ed25519 = k}; /* only one of them is looked at */
    make_public_token(token, a, HEADER, PAYLOAD);
    measure(a->name, buf_str(token), &keys, true,
            a->id == JWS_ES256   ? 100
            : a->id == JWS_EDDSA ? 80
                                 : 0);
    jwk_destroy(k);
}

static void measure_nonsense(const struct jws_keys *keys, struct buf *token) {
    static char text[100000];
    memset(text, '.', sizeof(text));
    measure("refuse 100,000 dots", (struct str){text, sizeof(text)}, keys, false, 10);
    measure("refuse 8,192 dots", (struct str){text, 8192}, keys, false, 10);
    memset(text, 'A', sizeof(text));
    measure("refuse 8,193 bytes", (struct str){text, 8193}, keys, false, 10);
    text[1000] = text[8000] = '.';
    measure("refuse 8 KB, three parts", (struct str){text, 8192}, keys, false, 10);
    make_token(token, &test_algorithms[0], HEADER, (struct str){text, 6200});
    measure("refuse 8 KB, good but long", buf_str(token), keys, false, 10);
}

static void expect_flat(const char *name, struct str token, const struct jws_keys *keys) {
    verify(token, keys, true);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < FLAT_COUNT; i++)
        verify(token, keys, true);
    long long grown = (long long)mallinfo2().uordblks - (long long)before;
    printf("memory of %d %-9s %+lld bytes\n", FLAT_COUNT, name, grown);
    is_bad |= grown > 0;
}

/* One algorithm of each kind. */
static void check_memory(void) {
    struct buf token = {0};
    struct jws_keys keys = {.hmac_secret = SECRET};
    make_token(&token, &test_algorithms[0], HEADER, PAYLOAD);
    expect_flat("HS256", buf_str(&token), &keys);
    for_each_public(a) {
        if (a->id != JWS_RS256 && a->id != JWS_PS256 && a->id != JWS_ES256 && a->id != JWS_EDDSA)
            continue;
        struct jwk *k = jwk_of_pair(pair_of(a->pair), a->pair);
        make_public_token(&token, a, HEADER, PAYLOAD);
        expect_flat(a->name, buf_str(&token),
                    &(struct jws_keys){.rsa = k, .ecdsa = k, .ed25519 = k});
        jwk_destroy(k);
    }
    buf_fini(&token);
}

int main(int argc, char **argv) {
    struct buf token = {0};
    struct jws_keys keys = {.hmac_secret = SECRET};
    if (argc > 1 && atoi(argv[1]) > 0 && atoi(argv[1]) <= BATCHES_MAX)
        batches = atoi(argv[1]);
    if (sodium_init() < 0)
        return 1;
    printf("%-28s %8s %8s %8s   us each, of %d batches\n", "", "fastest", "middle", "slowest",
           batches);
    for_each_algorithm(a) {
        make_token(&token, a, HEADER, PAYLOAD);
        measure(a->name, buf_str(&token), &keys, true, a == test_algorithms ? 5 : 0);
    }
    for_each_public(a) {
        measure_public(a, &token);
    }
    measure_nonsense(&keys, &token);
    check_memory();
    buf_fini(&token);
    return is_bad;
}
