/*
 * A disk on which each fsync and each fdatasync takes 2 ms longer, as on those of
 * most clouds: a library to preload.
 *
 *	cc -shared -fPIC -o slowdisk.so slowdisk.c
 */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_longer(void) {
	struct timespec longer = {0, 2000000};
	nanosleep(&longer, NULL);
}

int fsync(int file) {
	wait_longer();
	return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
	wait_longer();
	return syscall(SYS_fdatasync, file);
}
