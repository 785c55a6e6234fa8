#!/usr/bin/env bash
# TIMEOUT: 40
# S-14: byte-range and whole-file locks hold between the programs of this machine, and a closed
# descriptor gives them up.
. "$TEST_LIB/common.sh"
puppet one
puppet two
body() {
  echo x >f
  ask_ok one open f rw "$TEST_MNT/f"
  ask_ok two open f rw "$TEST_MNT/f"
  ask_ok one lock f
  ask_error two EAGAIN trylock f
  tell two lock f
  has_answered two && fail "two has the lock that one holds"
  ask_ok one unlock f
  assert_eq "$(answer two)" ok
  ask_error one EAGAIN trylock f
  ask_ok two close f
  ask_ok one trylock f
  ask_ok one flock f
  ask_ok two open f rw "$TEST_MNT/f"
  ask_error two EAGAIN tryflock f
  ask_ok one close f
  ask_ok two tryflock f
  ask_ok two close f
}
each_source body
