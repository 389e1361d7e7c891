/* SPDX-License-Identifier: Apache-2.0 */
/* The mount verb. */
#ifndef JF_SESSION_MOUNT_H
#define JF_SESSION_MOUNT_H

/*
 * Mounts. argv[0] is not looked at; what follows is SOURCE MOUNTPOINT [-o OPTIONS] [-f] [-d].
 * Returns the exit code: 0 ok, 1 usage or refusal, 2 system error, 32 the mount failed. In the
 * background case it returns in the parent as soon as the tree is usable.
 */
int jf_mount_main(int argc, char **argv);

#endif
