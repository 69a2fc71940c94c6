//! What every store promises: each sentence written once, and run on every backend there is.
//!
//! A sentence that is not in the list below is dead code, which the compiler reports.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bench;
mod clicks;
mod events;
mod imports;
mod keys;
mod links;
mod model;
mod onces;
mod servers;
mod stats;
mod together;
mod users;

use std::future::Future;

use bench::Bench;

fn run<F: Future<Output = ()>>(fresh: fn() -> Bench, sentence: fn(Bench) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { sentence(fresh()).await });
}

/// A backend joins by one line at the end of the expansion. Where a backend is a server, a module's sentences are one test: the server is
/// started once for them, and the last sentence named in the output is the one that does not hold.
macro_rules! on_every_backend {
    ($($module:ident { $($sentence:ident,)* })*) => {
        on_every_backend! { @ sqlite: a test each; 48 histories; $($module { $($sentence,)* })* }
        on_every_backend! { @ postgres: a test together; 8 histories; $($module { $($sentence,)* })* }
    };
    (@ $backend:ident: a test $how:ident; $cases:literal histories; $($module:ident { $($sentence:ident,)* })*) => {
        mod $backend {
            $(on_every_backend! { @ $how $backend $module { $($sentence,)* } })*

            mod model {
                #[test]
                fn roll_ups_are_the_raw_law_after_any_history() {
                    let _kept = crate::Bench::kept(stringify!($backend));
                    crate::model::roll_ups_are_the_raw_law_after_any_history(crate::Bench::$backend, $cases);
                }
            }
        }
    };
    (@ each $backend:ident $module:ident { $($sentence:ident,)* }) => {
        mod $module {
            $(#[test]
            fn $sentence() {
                crate::run(crate::Bench::$backend, crate::$module::$sentence);
            })*
        }
    };
    (@ together $backend:ident $module:ident { $($sentence:ident,)* }) => {
        mod $module {
            #[test]
            fn every_sentence_holds() {
                let _kept = crate::Bench::kept(stringify!($backend));
                $(
                    println!(stringify!($sentence));
                    crate::run(crate::Bench::$backend, crate::$module::$sentence);
                )*
            }
        }
    };
}

on_every_backend! {
    links {
        the_oldest_link_to_a_target_that_redirects_is_found_for_each_owner,
        a_created_link_reads_back_as_it_was_answered,
        what_never_existed_is_none,
        creating_writes_one_created_event,
        a_taken_code_is_a_conflict_and_writes_nothing,
        codes_differ_by_case_and_by_domain,
        an_owner_who_does_not_exist_is_a_missing_reference,
        each_row_of_a_bulk_create_succeeds_or_fails_by_itself,
        a_large_bulk_create_answers_every_row_in_its_place,
        an_update_changes_what_differs_and_writes_an_event_for_each_field,
        an_update_can_clear_title_and_expiry,
        an_update_that_changes_nothing_leaves_no_trace,
        a_change_meant_for_another_version_changes_nothing,
        an_inactive_link_is_still_found_by_its_code,
        a_deleted_link_is_hidden_but_its_events_and_its_code_stay,
        lists_ascend_by_id_and_pages_by_number_and_by_key_agree,
        filters_select_alone_and_together,
        a_filter_takes_wildcards_literally,
    }
    onces {
        a_create_happens_once_however_often_it_is_asked_for,
        an_event_happens_once_however_often_it_is_posted,
        a_create_whose_link_others_removed_with_the_whole_table_happens_again,
        another_request_under_the_same_key_is_refused,
        of_a_hundred_at_once_one_creates_and_the_others_are_told,
        a_taken_code_takes_the_next_spare_one,
        each_link_of_a_create_is_judged_by_itself_and_all_are_remembered,
        a_create_that_makes_nothing_is_not_remembered,
        what_is_old_is_forgotten_in_steps,
    }
    users {
        a_created_user_reads_back,
        names_and_addresses_are_unique_in_any_case,
        an_update_changes_what_is_given,
        an_update_to_a_taken_name_changes_nothing,
        deleting_a_user_deletes_the_links_and_keeps_the_events,
        ids_are_never_given_twice,
        a_name_stays_taken_as_long_as_an_imported_twin_bears_it,
        a_twin_may_change_the_case_of_its_name_but_take_no_other,
    }
    events {
        a_posted_event_reads_back_with_its_details_to_the_letter,
        an_event_of_nobody_is_a_missing_reference,
        event_filters_select_alone_and_together,
        event_pages_by_number_and_by_key_agree,
    }
    keys {
        a_key_is_created_once_however_often_it_is_asked_for,
        a_revoked_key_stays_listed_with_the_time_of_its_first_revocation,
    }
    clicks {
        a_delivered_click_becomes_an_event_of_the_links_owner,
        a_batch_moves_the_cursor_and_counts_once_however_often_it_comes,
        a_batch_from_the_future_is_not_applied,
        a_segments_end_and_the_next_ones_start_are_the_same_place,
        spools_are_counted_each_by_itself,
        undecodable_records_are_delivered_and_counted,
        undecodable_records_are_counted_for_each_spool,
        a_click_is_never_another_links_that_was_given_the_same_id,
        a_link_whose_clicks_were_counted_gets_none_of_them_under_its_id_once_it_is_removed,
        a_click_of_before_the_tables_were_emptied_is_nobodys,
        a_posted_click_is_rolled_up_and_counted_as_external,
        retention_removes_the_oldest_clicks_and_keeps_every_figure,
        a_days_salt_is_the_first_candidate_and_old_salts_are_destroyed,
        a_click_of_a_deleted_link_still_counts,
        what_was_removed_by_hand_is_accepted_once_and_kept_with_its_reason,
    }
    stats {
        buckets_count_clicks_people_and_visitors_of_each_unit,
        a_range_takes_the_whole_units_it_touches,
        shares_descend_and_name_every_dimension,
        a_day_names_500_referrers_and_counts_the_rest_as_other,
        top_links_descend_then_ascend_by_id,
        totals_leave_links_without_clicks_out,
        counts_are_of_what_is_there,
    }
    imports {
        imported_rows_keep_ids_and_times_and_later_ids_come_after_them,
        whoever_comes_later_inherits_nothing_of_an_imported_row,
        the_same_chunk_again_inserts_nothing_and_says_so,
        a_row_changed_since_or_corrected_is_left_as_it_is_and_the_field_is_named,
        a_user_deleted_since_stays_deleted_and_the_id_is_nobody_elses,
        where_others_emptied_the_table_nobody_is_remembered,
        a_link_deleted_since_stays_deleted_and_says_so,
        an_id_of_another_row_or_out_of_range_is_refused,
        duplicates_are_taken_and_noted_and_uniqueness_holds_afterwards,
        of_links_with_one_code_the_earlier_answers,
        dangling_and_too_old_rows_are_taken_and_noted,
        a_deleted_event_of_a_link_that_redirects_is_taken_and_noted,
        a_dry_run_judges_everything_and_leaves_nothing,
        an_imported_deleted_link_stays_deleted,
        imported_clicks_are_rolled_up_as_external,
    }
    together {
        of_a_hundred_creates_of_one_code_one_wins,
        of_a_hundred_changes_meant_for_one_version_one_wins,
        a_failing_write_takes_no_other_with_it,
        a_write_is_seen_by_every_read_after_its_answer,
        a_caller_who_left_is_nobodys_problem,
        only_foreign_writes_change_the_coherence_number,
        two_processes_write_side_by_side,
        closing_finishes_what_is_queued_and_refuses_what_comes_later,
    }
}
