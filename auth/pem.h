/* PEM texts of certificates and keys, as they stand in a configuration: taken apart far enough to
 * say what is wrong with them. Who uses them parses them again.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_PEM_H
#define CARILLON_AUTH_PEM_H

/* Gives the PEM text when the text is one, or is base64 of one; else NULL. */
char *pem_from_text(const char *text);

/* NULL when there are certificates in it and all are well; else why not, a static text. */
const char *pem_check_certificates(const char *pem);

/* The same for the private key of the first certificate. */
const char *pem_check_key(const char *key_pem, const char *cert_pem);

#endif
