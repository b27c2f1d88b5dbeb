/* JSON texts with their verdict, for the scanner's tests. Each group goes from plain to mean.
 *
 * Lists end without a comma, so that clang-format packs the lines.
 *
 * Thread: any. Owns: nothing.
 */
#ifndef CARILLON_TESTS_JSON_TEXTS_H
#define CARILLON_TESTS_JSON_TEXTS_H

#include <stddef.h>

struct sample {
    const char *p; /* may contain zero bytes */
    size_t n;
};

#define S(literal)                                                                                 \
    { literal, sizeof(literal) - 1 }

static const struct sample good[] = {
    /* words, white space */
    S("true"), S("false"), S("null"), S(" null"), S("null "), S("\t\r\n null \n\r\t"),
    /* numbers */
    S("0"), S("-0"), S("1"), S("-1"), S("10"), S("9"), S("1234567890"), S("0.0"), S("-0.0"),
    S("1.5"), S("0.1234567890"), S("0e0"), S("0E0"), S("0e+0"), S("0e-0"), S("1e5"), S("1E5"),
    S("1e+05"), S("1e-005"), S("-1.25E-10"), S("1e999"), S("-1e999"), S("1e-999"),
    S("18446744073709551616"), S("-9223372036854775809"),
    S("123456789012345678901234567890123456789012345678901234567890"), S("[0]"), S("[-0]"),
    S("[1,-1,0.5,1e1]"), S("[0 , 1]"),
    /* strings: plain, of every length around a machine word */
    S("\"\""), S("\"a\""), S("\"ab\""), S("\"abcdef\""), S("\"abcdefg\""), S("\"abcdefgh\""),
    S("\"abcdefghi\""), S("\"abcdefghijklmno\""), S("\"abcdefghijklmnop\""),
    S("\"abcdefghijklmnopq\""), S("\" \""), S("\"/\""), S("\"'\""), S("\"\x7f\""), S("\"{}[]:,\""),
    S("\"true\""), S("\"/* text */ // text\""),
    /* escapes */
    S("\"\\\"\""), S("\"\\\\\""), S("\"\\/\""), S("\"\\b\\f\\n\\r\\t\""), S("\"\\\\\\\"\""),
    S("\"\\\\\\\\\""), S("\"abcdefg\\\"\""), S("\"abcdefgh\\\\\""), S("\"\\u0000\""),
    S("\"\\u0041\""), S("\"\\u00e9\\u00E9\""), S("\"\\uabcd\\uABCD\\uaBcD\""), S("\"\\ud7ff\""),
    S("\"\\ue000\""), S("\"\\uffff\""), S("\"\\uFFFE\""), S("\"\\ud800\\udc00\""),
    S("\"\\udbff\\udfff\""), S("\"\\uD83D\\uDE00\""), S("\"\\uD83D\\uDE00\\uD83D\\uDE00\""),
    S("\"\\\\ud800\""), S("\"\\\\u\""),
    /* UTF-8: the first and last of each length */
    S("\"\xc2\x80\""), S("\"\xdf\xbf\""), S("\"\xe0\xa0\x80\""), S("\"\xed\x9f\xbf\""),
    S("\"\xee\x80\x80\""), S("\"\xef\xbf\xbf\""), S("\"\xf0\x90\x80\x80\""),
    S("\"\xf4\x8f\xbf\xbf\""), S("\"\xe2\x80\xa8\xe2\x80\xa9\""), S("\"\xef\xbb\xbf\""),
    S("\"abcdefg\xc3\xa9\""), S("\"abcdef\xc3\xa9gh\""), S("\"\xc3\xa9\\n\xc3\xa9\""),
    S("{\"\xd0\xba\":\"\xd0\xbb\"}"),
    /* arrays */
    S("[]"), S("[ ]"), S("[\n]"), S("[1]"), S("[1,2]"), S("[ 1 , 2 ]"), S("[[]]"), S("[[],[]]"),
    S("[[[[[[]]]]]]"), S("[null,true,false,\"\",0,[],{}]"), S("[\n1\r\n,\t2 ]"), S("[\"]\"]"),
    /* objects */
    S("{}"), S("{ }"), S("{\r\n}"), S("{\"a\":1}"), S("{\"a\":1,\"b\":2}"),
    S("{ \"a\" : 1 , \"b\" : 2 }"), S("{\"\":0}"), S("{\"a\":1,\"a\":1}"), S("{\"\\u0000\":1}"),
    S("{\"a\":{\"b\":{\"c\":{}}}}"), S("{\"a\":[{\"b\":[{}]}]}"), S("[{\"a\":[]},{\"b\":{}}]"),
    S("{\"a\\\"b\":\"}\"}"), S("{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":{\"x\":1}}}"),
    S("{}\n"), S("{\"a\"\n:\r1}")};

static const struct sample bad[] = {
    /* nothing, the wrong thing */
    S(""), S(" "), S("\n"), S("\0"), S("1\0"), S("\0null"), S("null\0"), S("[1,\0 2]"),
    S("\xef\xbb\xbf{}"), S("\xef\xbb\xbf"), S("\xff\xfe[\0]\0"), S("\v1"), S("\f1"), S("1\v"),
    S("\xc2\xa0"), S("1\xc2\xa0"), S("\x7f"), S("\x80"), S("/**/1"), S("1 // x"), S("#1"),
    /* words */
    S("t"), S("tru"), S("trux"), S("True"), S("TRUE"), S("truee"), S("true1"), S("fals"), S("nul"),
    S("nulL"), S("nan"), S("NaN"), S("Infinity"), S("-Infinity"), S("undefined"), S("true false"),
    S("[nul]"), S("[truefalse]"), S("n\0ll"),
    /* numbers */
    S("-"), S("+"), S("+1"), S("--1"), S("- 1"), S("01"), S("-01"), S("00"), S("0x10"), S("1."),
    S(".5"), S("-.5"), S("1.e5"), S("1.5."), S("1..5"), S("1e"), S("1e+"), S("1e-"), S("1e1.5"),
    S("1e1e1"), S("1 2"), S("1,"), S("1,2"), S("[1 2]"), S("[-]"), S("[01]"), S("[1.]"), S("[1e]"),
    S("[.1]"), S("[1a]"), S("1_000"), S("0b1"), S("1f"), S("\xef\xbc\x91"),
    /* strings */
    S("\""), S("\"a"), S("'a'"), S("\"a\"b"), S("\"a\"\"b\""), S("a"), S("\"\n\""), S("\"\r\""),
    S("\"\t\""), S("\"\0\""), S("\"\x01\""), S("\"\x1f\""), S("\"abcdefg\x1f\""),
    S("\"abcdefgh\n\""), S("\"abcdefghijk\x1flmnopqrst\""),
    /* escapes */
    S("\"\\\""), S("\"\\"), S("\"\\a\""), S("\"\\x41\""), S("\"\\0\""), S("\"\\\0\""), S("\"\\'\""),
    S("\"\\U0041\""), S("\"\\N\""), S("\"\\\n\""), S("\"\\ \""), S("\"\\\xc3\xa9\""), S("\"\\u\""),
    S("\"\\u0\""), S("\"\\u00\""), S("\"\\u004\""), S("\"\\u004"), S("\"\\u004g\""),
    S("\"\\u 041\""), S("\"\\u+041\""), S("\"\\u00/1\""), S("\"\\u00:1\""), S("\"\\u00@1\""),
    S("\"\\u00`1\""), S("\"\\ud800\""), S("\"\\udbff\""), S("\"\\udc00\""), S("\"\\udfff\""),
    S("\"\\ud800x\""), S("\"\\ud800\\n\""), S("\"\\ud800\\\\dc00\""), S("\"\\ud800\\u0041\""),
    S("\"\\ud800\\ud800\""), S("\"\\udc00\\ud800\""), S("\"\\ud800\\udbff\""),
    S("\"\\ud800\\ue000\""), S("\"\\ud800\\udc0\""), S("\"\\ud800\\udc0g\""), S("\"\\ud800\\u\""),
    S("\"\\ud800\\"), S("\"\\ud83d\\ude00\\ude00\""), S("{\"\\ud800\":1}"), S("{\"\\x\":1}"),
    /* UTF-8: stray, short, overlong, surrogate, too large */
    S("\"\x80\""), S("\"\xbf\""), S("\"\xc3\""), S("\"\xc3"), S("\"\xc3\x28\""), S("\"\xc0\x80\""),
    S("\"\xc1\xbf\""), S("\"\xe2\x82\""), S("\"\xe2\x28\xa1\""), S("\"\xe2\x82\x28\""),
    S("\"\xe0\x80\xaf\""), S("\"\xe0\x9f\xbf\""), S("\"\xed\xa0\x80\""), S("\"\xed\xbf\xbf\""),
    S("\"\xf0\x80\x80\xaf\""), S("\"\xf0\x8f\xbf\xbf\""), S("\"\xf0\x9f\x98\""),
    S("\"\xf0\x9f\x98\x28\""), S("\"\xf4\x90\x80\x80\""), S("\"\xf5\x80\x80\x80\""),
    S("\"\xf8\x88\x80\x80\x80\""), S("\"\xfe\""), S("\"\xff\""), S("\"abcdefg\xff\""),
    S("\"abcdefgh\xc3"), S("{\"\xff\":1}"), S("[\xc3\xa9]"), S("\"\xc3\xa9\x80\""),
    /* arrays */
    S("["), S("]"), S("[1"), S("[1,"), S("[,]"), S("[,1]"), S("[1,]"), S("[1,,2]"), S("[1:2]"),
    S("[1;2]"), S("[}"), S("[1}"), S("[]]"), S("[][]"), S("[[]"), S("[1]]"), S("[\"a\":1]"),
    S("[1,\n"), S("[a]"), S("[\"a]"), S("[[1,2]"),
    /* objects */
    S("{"), S("}"), S("{]"), S("{\"a\""), S("{\"a\":"), S("{\"a\":1"), S("{\"a\":1,"), S("{,}"),
    S("{\"a\"}"), S("{\"a\":}"), S("{\"a\":1,}"), S("{\"a\":1,,\"b\":2}"), S("{\"a\":1 \"b\":2}"),
    S("{\"a\" 1}"), S("{\"a\",1}"), S("{\"a\"::1}"), S("{a:1}"), S("{'a':1}"), S("{1:1}"),
    S("{null:1}"), S("{\"a\":1]"), S("{\"a\":1}}"), S("{}{}"), S("{}x"), S("{} {}"), S("{}\n{}"),
    S("{[]:1}"), S("{\"a\":1,\"b\"}"), S("{\"a\":1:2}"), S("{\"a\":b}"), S("{\"a\":{]}"),
    S("{\"a\":[}"), S("{\"a\":1,2}"), S("{\"a\"=1}"), S("{:1}"), S("[{]"), S("{\"a\":[1}")};

#endif
