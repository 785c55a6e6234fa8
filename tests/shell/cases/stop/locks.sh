#!/usr/bin/env bash
# TIMEOUT: 30
# S-14: a stop and a start do not touch the locks that programs of this machine hold.
. "$TEST_LIB/common.sh"
mount_rdr memory:
puppet one
puppet two
ask_ok one open f c "$TEST_MNT/f"
ask_ok two open f rw "$TEST_MNT/f"
ask_ok one lock f
expect 10 rdr stop t --wait
ask_error two EAGAIN trylock f
expect 0 rdr start t
ask_error two EAGAIN trylock f
ask_ok one close f
ask_ok two trylock f
ask_ok two close f
