//! Hazards that are the same on every database: a file for each hazard, an async function for each case.
//!
//! Both test programs compile this folder. A case is generic over a [`Bed`](bed::Bed), knows no database, and is run on each one:
//! a database joins with an implementation of `Bed` and one line that hands it to [`every_case`]. What only one database can
//! show is a module of the program that has this database.

pub(crate) mod adopted;
pub(crate) mod bed;
pub(crate) mod cancellation;
pub(crate) mod fixture;
pub(crate) mod lent;
pub(crate) mod opening;
pub(crate) mod recovery;
pub(crate) mod residue;
pub(crate) mod stale;
pub(crate) mod table;
pub(crate) mod transactions;

/// Hands every case to a macro that makes a test of it, together with the bed that it is to run on. A case that is missing here
/// is dead code, and the compiler says so.
macro_rules! every_case {
    ($test:ident, $bed:ty) => {
        $test! {
            $bed;
            cancellation {
                cancelled_begin_leaves_no_transaction,
                cancelled_commit_is_done_or_not_and_never_half,
                cancelled_rollback_keeps_nothing,
                call_that_is_dropped_when_its_turn_has_come_keeps_no_connection,
                call_that_waits_for_its_own_tasks_stream_is_refused_at_once,
                cancelled_call_of_a_dropped_scope_leaves_nothing_open,
            }
            fixture {
                what_was_committed_survives_a_later_rollback_and_is_gone_after_the_test,
                savepoints_of_the_application_nest_inside_its_joined_transaction,
                call_that_outlives_its_test_keeps_no_connection,
                open_scopes_take_turns,
                a_wait_that_takes_too_long_names_the_holder,
                a_scope_dropped_in_a_transaction_is_undone_before_the_next_turn,
                refused_statement_outside_of_a_transaction_spoils_nothing,
                call_cancelled_at_any_poll_leaves_the_test_isolated_and_usable,
                operation_that_is_left_lets_others_have_their_turn,
                a_scope_that_is_open_at_the_end_is_named,
                a_registry_that_joined_a_test_has_its_own_sessions_again_after_a_panic,
                a_registry_takes_part_in_one_test_at_a_time,
                a_test_inside_another_one_is_refused_at_once,
            }
            lent {
                function_with_the_connection_works_in_the_scopes_transaction,
                transaction_that_a_function_leaves_open_is_rolled_back_and_told,
                function_that_fails_in_a_transaction_is_undone_alone,
                function_that_ends_the_scopes_transaction_leaves_its_outcome_unknown,
                what_a_function_leaves_reaches_no_other_borrower,
                function_that_is_cancelled_leaves_nothing_open,
                function_with_the_connection_works_in_a_test,
                begin_that_waits_behind_a_function_comes_after_it,
                call_with_the_connection_can_be_spawned,
            }
            opening {
                policy_that_contradicts_itself_is_refused,
                limits_without_an_end_are_kept,
                idle_connections_are_closed_although_nobody_borrows_one,
                exhausted_says_how_many_are_lent,
                drain_waits_for_scopes_and_names_who_stays,
            }
            recovery {
                session_lost_outside_a_transaction_is_recovered_with_the_next_generation,
                session_lost_inside_a_transaction_never_goes_on_in_autocommit,
                test_policy_reports_a_loss_instead_of_recovering,
                session_with_something_on_it_is_not_replaced_behind_the_callers_back,
                session_with_something_on_it_is_not_replaced_after_a_lost_transaction,
                scope_dropped_outside_of_a_runtime_leaves_nothing_open,
            }
            residue {
                residue_does_not_reach_the_next_borrower,
            }
            stale {
                handle_used_after_its_scope_is_refused_by_name,
                handle_of_a_dropped_scope_never_reaches_the_next_borrower_of_its_connection,
                end_waits_for_a_call_in_flight_and_a_call_behind_it_is_stale,
                pinned_handle_does_not_follow_the_scope_to_another_session,
            }
            transactions {
                commit_keeps_and_rollback_undoes,
                savepoint_is_undone_alone,
                failed_inner_begin_leaves_the_outer_transaction_whole,
                refused_statement_spoils_its_transaction_where_the_database_says_so,
                commit_that_the_database_refuses_is_rolled_back_and_says_so,
                statements_that_go_behind_the_scope_are_not_run,
                read_only_transaction_refuses_writes_and_leaves_no_trace,
                dropped_scope_rolls_back_and_its_locks_are_free,
                run_can_be_spawned,
                run_keeps_what_was_done_outside_of_a_level_that_was_left_open,
            }
        }
    };
}
pub(crate) use every_case;

/// As [`every_case`], for a bed whose connections come from a pool of the application's.
macro_rules! every_adopted_case {
    ($test:ident, $bed:ty) => {
        $test! {
            $bed;
            adopted {
                scopes_and_the_application_share_the_pool,
                transaction_left_by_the_application_is_not_entered,
                scope_dropped_outside_of_a_runtime_does_not_panic,
                closed_pool_is_told,
                closed_sessions_lend_nothing_of_an_open_pool,
            }
        }
    };
}
pub(crate) use every_adopted_case;

/// The cases that know their database by the names of their program's bed.
macro_rules! every_table_case {
    ($test:ident) => {
        $test! {
            table {
                row_is_found_as_it_was_inserted_and_updated_until_it_is_deleted,
                change_touches_the_row_with_its_key_alone,
                change_of_a_row_that_is_not_there_is_no_change,
                duplicate_key_names_operation_and_table_and_is_not_tried_again,
                filter_keeps_the_rows_of_which_it_holds,
                alternative_stays_inside_its_filter,
                null_is_compared_as_none,
                pattern_matches_and_text_is_contained_literally,
                value_that_looks_like_sql_is_a_value,
                rows_are_sorted_by_each_column_in_turn_and_then_by_the_key,
                page_has_its_rows_and_says_how_many_there_are,
                page_that_cannot_be_is_refused_with_what_can,
                reading_on_behind_a_key_misses_nothing_when_earlier_rows_go,
                pages_hold_what_a_list_in_memory_would,
                column_that_the_table_lacks_is_an_error_and_no_text,
                row_that_cannot_be_read_costs_the_session_nothing,
                table_that_outlives_its_scope_names_itself_and_its_holder,
                every_operation_can_be_spawned,
                table_is_a_service_as_it_stands,
            }
        }
    };
}
pub(crate) use every_table_case;
