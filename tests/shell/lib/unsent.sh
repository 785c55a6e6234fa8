# What the cases of unsent/ share: a write that the server never answers, given up on by a stop.

UNSENT="$XDG_STATE_HOME/minirdr/t/unsent"
hangs() { rdr requests t | grep -q write; }
kept() { find "$UNSENT" -name '*.data' 2>/dev/null | wc -l; }

# lose PUPPET FILE TEXT : its write hangs, and a stop gives it up. The mount is stopped then, and
# what the stop said is in $out.
lose() {
  local said
  puppet "$1"
  ask_ok "$1" open f rw "$TEST_MNT/$2"
  tell "$1" write f "$3"
  wait_until "the write hangs" hangs
  took_less 10 expect 13 rdr stop t --wait --deadline 1s --on-deadline cancel
  said=$out
  assert_has "$(answer "$1")" "error ETIMEDOUT"
  ask_ok "$1" close f
  out=$said
}
