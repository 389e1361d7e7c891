/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting subjects by name. */
#ifndef JS_SUBJECT_SORT_H
#define JS_SUBJECT_SORT_H

#include "core/stream/subjects.h"

/* Sorts n different ids by name (js_subject_cmp). 0 or NOMEM (ids are untouched then). */
int js_subjects_sort_ids(const struct js_subjects *subjects, uint32_t *ids, uint32_t n);

#endif
