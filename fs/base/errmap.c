/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/base/errmap.h"

#include <errno.h>

int jf_errno(int result) {
    if (result >= 0)
        return 0;
    if (result <= JS__ERR_FIRST || result >= JS__ERR_LAST)
        return result > JS__ERR_FIRST ? -result : EIO;
    int e = js_err_errno(result);
    return e > 0 ? e : EIO;
}
