/* API keys: which files are taken, which keys fit, and what is counted over a rotation.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/api_keys.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define KEY "a-key-of-32-characters-or-more-01"
#define HASH_A "blake2b$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ENTRY(name, scopes)                                                                        \
    "{\"name\":\"" name "\",\"scopes\":[" scopes "],\"hash\":\"" HASH_A "\"}"
#define FILE_OF(entries) "{\"keys\":[" entries "]}"

static struct api_keys *keys_of(const char *name, const char *scope, const char *key) {
    struct buf text = {0}, why = {0};
    buf_printf(&text, "{\"keys\":[{\"name\":\"%s\",\"scopes\":[\"%s\"],\"hash\":\"", name, scope);
    api_key_hash(str_of(key), &text);
    buf_add_z(&text, "\"}]}");
    struct api_keys *k = api_keys_parse(buf_str(&text), &why);
    assert_non_null(k);
    assert_null(memmem(text.p, text.n, key, strlen(key)));
    buf_fini(&text);
    return k;
}

static void files_are_taken_whole_or_not_at_all(void **state) {
    static const struct {
        const char *text, *why; /* NULL: fine */
    } rows[] = {
        {FILE_OF(""), NULL},
        {FILE_OF(ENTRY("a", "\"publish\"")), NULL},
        {FILE_OF(ENTRY("a-B_9", "\"publish\",\"read\"") "," ENTRY("b", "\"all\"")), NULL},
        {"", "no valid JSON"},
        {"[]", "must be {"},
        {"{}", "must be {"},
        {"{\"keys\":{}}", "must be {"},
        {"{\"keys\":[],\"more\":1}", "must be {"},
        {"{\"keys\":[],\"keys\":[]}", "no valid JSON"},
        {FILE_OF("1"), "keys[0]: it must be an object"},
        {FILE_OF(ENTRY("", "\"all\"")), "keys[0]: \"name\""},
        {FILE_OF(ENTRY("a b", "\"all\"")), "keys[0]: \"name\""},
        {FILE_OF(ENTRY("http_api.key", "\"all\"")), "keys[0]: \"name\""},
        {FILE_OF(ENTRY("a", "\"all\"") "," ENTRY("a", "\"read\"")), "keys[1]: its \"name\""},
        {FILE_OF(ENTRY("a", "")), "\"scopes\""},
        {FILE_OF(ENTRY("a", "\"write\"")), "\"scopes\""},
        {FILE_OF(ENTRY("a", "\"read\",1")), "\"scopes\""},
        {FILE_OF("{\"name\":\"a\",\"scopes\":[\"all\"]}"), "\"hash\""},
        {FILE_OF("{\"name\":\"a\",\"scopes\":[\"all\"],\"hash\":\"" KEY "\"}"), "\"hash\""},
        {FILE_OF("{\"name\":\"a\",\"scopes\":[\"all\"],\"hash\":\"" HASH_A "A\"}"), "\"hash\""},
        {FILE_OF("{\"name\":\"a\",\"scopes\":[\"all\"],\"hash\":\"blake2b$$\"}"), "\"hash\""},
        {FILE_OF("{\"name\":\"a\",\"scopes\":[\"all\"],\"hash\":\"" HASH_A "\",\"ip\":\"::1\"}"),
         "may have only"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf why = {0};
        struct api_keys *k = api_keys_parse(str_of(rows[i].text), &why);
        buf_add_char(&why, '\0');
        assert_int_equal(k != NULL, rows[i].why == NULL);
        if (rows[i].why)
            assert_non_null(strstr(why.p, rows[i].why));
        assert_null(strstr(why.p, KEY));
        api_keys_destroy(k);
        buf_fini(&why);
    }
}

static void there_are_at_most_100(void **state) {
    (void)state;
    for (int count = API_KEYS_MAX; count <= API_KEYS_MAX + 1; count++) {
        struct buf text = {0}, why = {0};
        for (int i = 0; i < count; i++)
            buf_printf(&text, "%s{\"name\":\"k%d\",\"scopes\":[\"all\"],\"hash\":\"" HASH_A "\"}",
                       i ? "," : "{\"keys\":[", i);
        buf_add_z(&text, "]}");
        struct api_keys *k = api_keys_parse(buf_str(&text), &why);
        assert_int_equal(k != NULL, count == API_KEYS_MAX);
        api_keys_destroy(k);
        buf_fini(&text);
        buf_fini(&why);
    }
}

static void weak_keys_are_not_hashed(void **state) {
    static const struct {
        const char *key;
        bool is_good;
    } rows[] = {
        {KEY, true},
        {"0123456789abcdef0123456789abcdef", true},
        {"0123456789abcdef0123456789abcde", false},
        {"", false},
        {"secret", false},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"abcabcabcabcabcabcabcabcabcabcabcabcabc", false},
        {"0123456789abcdef 123456789abcdef", false},
        {"0123456789abcdef\n123456789abcdef", false},
        {"0123456789abcdef\x80"
         "123456789abcdef",
         false},
    };
    char large[API_KEY_MAX_BYTES + 1];
    struct buf made = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(api_key_fault(str_of(rows[i].key)) == NULL, rows[i].is_good);
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char)('a' + i % 26);
    assert_null(api_key_fault((struct str){large, API_KEY_MAX_BYTES}));
    assert_non_null(api_key_fault((struct str){large, API_KEY_MAX_BYTES + 1}));
    api_key_make(&made);
    assert_null(api_key_fault(buf_str(&made)));
    buf_fini(&made);
}

static void a_key_is_found_and_nothing_else(void **state) {
    struct api_keyring *r = api_keyring_create();
    struct api_caller who;
    (void)state;
    assert_false(api_keyring_find(NULL, STR(KEY), &who));
    assert_false(api_keyring_find(r, STR(KEY), &who));
    api_keyring_replace(r, keys_of("shop", "publish", KEY));
    assert_true(api_keyring_find(r, STR(KEY), &who));
    assert_string_equal(who.name, "shop");
    assert_int_equal(who.scopes, API_SCOPE_PUBLISH);
    assert_false(api_keyring_find(r, STR(""), &who));
    assert_false(api_keyring_find(r, STR(KEY "x"), &who));
    assert_false(api_keyring_find(r, (struct str){KEY, strlen(KEY) - 1}, &who));
    assert_false(api_keyring_find(r, (struct str){KEY "\0", strlen(KEY) + 1}, &who));
    api_keyring_destroy(r);
}

static void the_same_key_has_another_hash_each_time(void **state) {
    struct buf a = {0}, b = {0};
    (void)state;
    api_key_hash(STR(KEY), &a);
    api_key_hash(STR(KEY), &b);
    assert_int_equal(a.n, b.n);
    assert_memory_not_equal(a.p, b.p, a.n);
    buf_fini(&a);
    buf_fini(&b);
}

static void note_counts(void *arg, const char *name, uint64_t allowed_count,
                        uint64_t denied_count) {
    buf_printf(arg, "%s %llu %llu;", name, (unsigned long long)allowed_count,
               (unsigned long long)denied_count);
}

static void a_rotation_keeps_what_was_counted_for_a_name(void **state) {
    struct api_keyring *r = api_keyring_create();
    struct api_caller who;
    struct buf counts = {0};
    (void)state;
    api_keyring_replace(r, keys_of("shop", "publish", KEY));
    assert_true(api_keyring_find(r, STR(KEY), &who));
    api_keyring_count(r, &who, true);
    api_keyring_count(r, &who, true);
    api_keyring_count(r, &who, false);
    api_keyring_replace(r, keys_of("shop", "all", KEY "-new"));
    assert_false(api_keyring_find(r, STR(KEY), &who));
    assert_true(api_keyring_find(r, STR(KEY "-new"), &who));
    assert_int_equal(who.scopes, API_SCOPES_EVERY);
    api_keyring_each(r, note_counts, &counts);
    assert_true(str_equal(buf_str(&counts), STR("shop 2 1;")));
    api_keyring_replace(r, keys_of("other", "all", KEY));
    buf_clear(&counts);
    api_keyring_each(r, note_counts, &counts);
    assert_true(str_equal(buf_str(&counts), STR("other 0 0;")));
    buf_fini(&counts);
    api_keyring_destroy(r);
}

/* --- keys that come and go while they are checked --------------------------------------------- */

static _Atomic bool is_over;

static void *check_keys(void *arg) {
    struct api_caller who;
    uint64_t found = 0;
    while (!is_over)
        if (api_keyring_find(arg, STR(KEY), &who)) {
            api_keyring_count(arg, &who, true);
            found++;
        }
    return (void *)(uintptr_t)(found > 0);
}

static void keys_are_replaced_under_load(void **state) {
    struct api_keyring *r = api_keyring_create();
    pthread_t threads[2];
    (void)state;
    api_keyring_replace(r, keys_of("shop", "publish", KEY));
    for (size_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, check_keys, r);
    for (int i = 0; i < 1000; i++)
        api_keyring_replace(r, keys_of("shop", i % 2 ? "publish" : "all", KEY));
    is_over = true;
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    api_keyring_destroy(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_taken_whole_or_not_at_all),
        cmocka_unit_test(there_are_at_most_100),
        cmocka_unit_test(weak_keys_are_not_hashed),
        cmocka_unit_test(a_key_is_found_and_nothing_else),
        cmocka_unit_test(the_same_key_has_another_hash_each_time),
        cmocka_unit_test(a_rotation_keeps_what_was_counted_for_a_name),
        cmocka_unit_test(keys_are_replaced_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
