/* See jws_algorithm.h.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/jws_algorithm.h"

static const struct {
    const char *name, *digest;
    size_t digest_bytes;
} algorithms[JWS_ALGORITHM_COUNT] = {
    [JWS_HS256] = {"HS256", "SHA256", 32}, [JWS_HS384] = {"HS384", "SHA384", 48},
    [JWS_HS512] = {"HS512", "SHA512", 64}, [JWS_RS256] = {"RS256", "SHA256", 32},
    [JWS_RS384] = {"RS384", "SHA384", 48}, [JWS_RS512] = {"RS512", "SHA512", 64},
    [JWS_PS256] = {"PS256", "SHA256", 32}, [JWS_PS384] = {"PS384", "SHA384", 48},
    [JWS_PS512] = {"PS512", "SHA512", 64}, [JWS_ES256] = {"ES256", "SHA256", 32},
    [JWS_ES384] = {"ES384", "SHA384", 48}, [JWS_ES512] = {"ES512", "SHA512", 64},
    [JWS_EDDSA] = {"EdDSA", NULL, 64},
};

enum jws_algorithm jws_algorithm_find(struct str name) {
    enum jws_algorithm a = 0;
    while (a < JWS_ALGORITHM_COUNT && !str_equal(name, str_of(algorithms[a].name)))
        a++;
    return a;
}

const char *jws_algorithm_name(enum jws_algorithm a) {
    return algorithms[a].name;
}

const char *jws_algorithm_digest(enum jws_algorithm a) {
    return algorithms[a].digest;
}

size_t jws_algorithm_digest_bytes(enum jws_algorithm a) {
    return algorithms[a].digest_bytes;
}
