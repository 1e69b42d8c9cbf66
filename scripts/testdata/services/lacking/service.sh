# shellcheck shell=bash disable=SC2034 # what services.sh reads
# A server that can't be had.

variable=TEST_LACKING

missing() { echo no-such-package nor-this; }
