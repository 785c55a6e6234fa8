//! Conformance: one suite, every mini-redirector, through the core and without a kernel (style.md
//! H16).
//!
//! A redirector states what it can do (`claims.rs`): what it claims is tested, what it does not
//! claim must answer EOPNOTSUPP. A case takes a started device ([`rig::Rig`]) and is run once for
//! each redirector, under its name: `local::renames::exchange_swaps_files_of_any_kind`. A new
//! redirector is one more line in [`conformance`] and a way to make it in `rig.rs`.

mod attributes;
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod content;
mod links;
mod listing;
mod names;
mod notify;
mod ranges;
mod renames;
mod restart;
mod rig;
mod survivors;
mod unclaimed;
mod xattrs;

/// Every case over one redirector.
macro_rules! over {
    ($redirector:ident, $($family:ident { $($case:ident),+ $(,)? })+) => {
        mod $redirector {$(
            mod $family {$(
                #[test]
                fn $case() {
                    crate::$family::$case(&crate::rig::Rig::$redirector());
                }
            )+}
        )+}
    };
}

/// Every case over every redirector.
macro_rules! conformance {
    ($($cases:tt)+) => {
        over!(memory, $($cases)+);
        over!(local, $($cases)+);
        over!(faulty, $($cases)+);
        over!(mapped, $($cases)+);
        over!(posted, $($cases)+);
    };
}

conformance! {
    content {
        what_is_written_is_read,
        two_handles_see_one_file,
        large_content_comes_back_in_any_pieces,
        a_handle_does_what_it_was_opened_for,
        appends_go_to_the_end_whatever_the_offset,
        appends_of_many_threads_never_overlap,
        cutting_and_extending,
        only_files_have_a_size_to_set,
        truncating_opens_empty_the_file,
        content_changes_are_dated,
        what_was_written_can_be_made_stable,
        unlinked_and_still_open,
        a_new_file_of_an_old_name_is_another_file,
        replaced_and_still_open,
        only_files_hold_bytes,
        special_files_are_not_opened,
    }
    ranges {
        holes_read_as_zeros_and_take_no_room,
        holes_are_found,
        the_end_is_a_hole,
        every_mode_of_fallocate,
        allocating_beyond_the_end,
        punching_frees_room,
        fallocate_refuses_what_makes_no_sense,
        ranges_are_copied_inside_the_server,
        copies_within_a_file_must_not_overlap,
        far_offsets,
        offsets_of_no_file,
    }
    names {
        what_is_made_is_found,
        nothing_is_under_a_file,
        a_taken_name_stays_what_it_is,
        unlink_and_rmdir_each_refuse_the_others_work,
        a_removed_directory_takes_nothing,
        every_kind_of_node,
        the_umask_is_taken_off,
        a_file_made_read_only_can_be_written_by_its_maker,
        names_of_any_bytes,
        names_as_long_as_they_may_be,
        names_are_bytes_and_not_text,
        deep_trees,
        directories_are_dated_when_names_come_and_go,
        access_follows_owner_group_and_others,
    }
    links {
        hard_links_are_one_file,
        whichever_name_goes_the_file_stays,
        what_cannot_be_linked,
        directories_count_their_subdirectories,
        symlinks_keep_their_bytes,
        symlinks_are_never_followed,
        a_symlink_can_have_two_names,
        only_symlinks_have_a_target,
    }
    renames {
        a_file_moves_and_stays_the_same_file,
        replacing_a_file,
        replacing_a_directory,
        kinds_do_not_replace_each_other,
        what_is_not_there_cannot_be_moved,
        no_replace_replaces_nothing,
        exchange_swaps_files_of_any_kind,
        a_name_moved_onto_itself,
        no_directory_goes_into_itself,
        directories_move_with_what_is_in_them,
        renames_of_many_threads,
    }
    attributes {
        permissions_of_every_kind,
        owner_and_group_change_by_themselves,
        new_files_belong_to_the_caller,
        set_group_id_directories_hand_their_group_down,
        times_to_the_nanosecond,
        each_time_is_set_by_itself,
        changes_of_attributes_are_dated,
        several_changes_at_once,
        privileges_die_with_a_change,
        privileges_are_taken_by_whoever_may_write,
        privileges_live_when_nobody_asks,
        attributes_through_a_handle,
        the_volume_has_room,
    }
    xattrs {
        kept_by_name,
        every_mode,
        every_size,
        many_names_are_listed,
        they_belong_to_the_file_and_not_to_its_name,
        names_of_no_kind_are_refused,
        acls_are_kept_or_refused,
        a_default_acl_takes_the_umasks_place,
        an_acl_is_no_way_to_a_set_group_id_file,
    }
    listing {
        the_dots_come_first,
        every_name_once_whatever_the_budget,
        a_budget_is_kept,
        every_position_can_be_returned_to,
        a_rewind_shows_what_is_there_now,
        removing_what_was_listed_skips_nothing,
        what_stays_is_seen_once_while_others_come_and_go,
        entries_say_which_file_they_lead_to,
        two_handles_list_by_themselves,
        only_directories_are_listed,
    }
    notify {
        changes_of_names_are_told,
        changes_of_content_and_attributes_are_told,
        a_cancelled_question_ends_at_once,
    }
    survivors {
        stopped_means_refused,
        a_carried_over_handle_works_as_before,
        a_listing_goes_on_after_a_restart,
        survivors_are_closed_in_peace,
        late_write_back_arrives,
        stale_handles_stay_stale,
        a_file_without_a_name_is_not_carried_over,
        a_moved_file_is_carried_over,
        replaced_behind_our_back,
        removed_and_made_again_behind_our_back,
        removed_behind_our_back,
        moved_behind_our_back,
        its_directory_replaced_behind_our_back,
        its_directory_made_a_symlink_behind_our_back,
        the_tree_replaced_behind_our_back,
        survivors_are_reported,
        files_are_the_same_after_a_restart,
    }
    restart {
        known_files_are_found_again,
        a_working_directory_works_again,
        what_was_moved_is_found_where_it_is,
        what_was_removed_is_stale,
        a_hard_link_is_found_by_the_name_seen_last,
        the_bottom_of_a_deep_tree_is_found_again,
        many_are_found_again_at_once,
        nothing_is_known_when_nobody_cares,
        every_start_is_a_new_generation,
    }
    unclaimed {
        locks_are_not_faked,
        private_controls_are_refused,
    }
}
