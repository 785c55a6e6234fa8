#!/usr/bin/env bash
# TIMEOUT: 40
# S-50: the report names every step of docs/LIFECYCLE.md in its order, and the events tell the same
# order: asked, written back, sealed, stopped below, survivors counted, spun down, and the result.
. "$TEST_LIB/common.sh"
need jq
steps="write_back drain seal write_back_rest shed_delayed_closes deregister_provider \
deregister_file_system mrx_stop count_survivors spin_down save_config"
mount_rdr memory:
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
ask_ok holder fill f 8192
ask_ok holder map f 8192
ask_ok holder dirty f dirty
expect 10 rdr stop t --wait --json
assert_eq "$(jq -r '[.report.steps[].step] | join(" ")' <<<"$out")" "$steps" steps
assert_eq "$(jq '[.report.steps[].seconds] | all(. >= 0)' <<<"$out")" true seconds
expect 0 rdr events t --json
told='["stop_requested","written_back","sealed","redirector_stopped","survivors",
  "dispatcher_spun_down","stopped"]'
order="[.events[].kind | select(IN($told[]))]"
assert_eq "$(jq -c "$order" <<<"$out")" "$(jq -c . <<<"$told")" "events"
ask_ok holder unmap f
ask_ok holder close f
expect 0 rdr start t
# A grace comes first; an unmount is the sixth step and its event.
expect 0 rdr stop t --wait --grace 1ms --unmount --json
assert_eq "$(jq -r '[.report.steps[].step] | join(" ")' <<<"$out")" "grace $steps" steps
assert_eq "$(jq .report.unmounted <<<"$out")" true unmounted
wait_until "nothing is left" is_gone
