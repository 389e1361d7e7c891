/* SPDX-License-Identifier: Apache-2.0 */
/* The data set that benchmarks store and expect: everything follows from a message's number. */
#ifndef JF_CLI_BENCH_DATA_H
#define JF_CLI_BENCH_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JF_BENCH_SUBJECT_SIZE 48
#define JF_BENCH_MAX_SIZE     262144
#define JF_BENCH_MIN_HEADER   24
#define JF_BENCH_MAX_HEADER   4096

/* splitmix64 of x. */
uint64_t jf_bench_mix(uint64_t x);
/* Number of the subject of message i (from 1), of so many. */
uint64_t jf_bench_subject_id(uint64_t subjects, uint64_t i);
/* Writes subject number id ("bench.one" if there is one, else dev.<id/1000>.<id%1000>.temp), at most
 * JF_BENCH_SUBJECT_SIZE bytes with the NUL; its length. */
size_t jf_bench_subject(uint64_t subjects, uint64_t id, char *ret_subject);
/* Payload of message i, up to JF_BENCH_MAX_SIZE bytes of it: words and blanks, or noise; static. One
 * kind in a process, and the first call is not for several threads at once. */
const uint8_t *jf_bench_payload(bool noise, uint64_t i);
/* A header of len bytes (JF_BENCH_MIN_HEADER to JF_BENCH_MAX_HEADER), NULL if 0; static. */
const uint8_t *jf_bench_header(size_t len);
/* Gives unused memory back and lets the peak of resident memory begin anew. */
void jf_bench_reset_peak(void);
/* The peak since then, bytes; 0 = not known. */
uint64_t jf_bench_peak(void);

#endif
