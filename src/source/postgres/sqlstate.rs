//! What PostgreSQL's error codes mean (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
//!
//! Owns the table. Pure: what follows from a class is decided above.

use crate::source::error::ErrorClass;

/// The class of an error with this code, on a connection that was open.
pub(super) fn class(code: &str) -> ErrorClass {
    match code {
        // connection_exception and those below it; protocol_violation.
        "08000" | "08001" | "08003" | "08004" | "08006" | "08P01" => ErrorClass::Disconnected,
        // admin_shutdown, crash_shutdown, database_dropped, idle_session_timeout.
        "57P01" | "57P02" | "57P04" | "57P05" => ErrorClass::Disconnected,
        // idle_in_transaction_session_timeout, and transaction_timeout of PostgreSQL 17: both end the session.
        "25P03" | "25P04" => ErrorClass::Disconnected,
        // cannot_connect_now, too_many_connections.
        "57P03" | "53300" => ErrorClass::Unavailable,
        // transaction_rollback, serialization_failure, deadlock_detected,
        // transaction_integrity_constraint_violation.
        "40000" | "40001" | "40P01" | "40002" => ErrorClass::RetryTransaction,
        // in_failed_sql_transaction: an earlier statement aborted it.
        "25P02" => ErrorClass::RetryTransaction,
        // lock_not_available, query_canceled.
        "55P03" | "57014" => ErrorClass::RetryStatement,
        // transaction_resolution_unknown, statement_completion_unknown.
        "08007" | "40003" => ErrorClass::OutcomeUnknown,
        _ => ErrorClass::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_class() {
        let table = [
            (ErrorClass::Disconnected, "08000 08001 08003 08004 08006 08P01 57P01 57P02 57P04 57P05 25P03 25P04"),
            (ErrorClass::Unavailable, "57P03 53300"),
            (ErrorClass::RetryTransaction, "40000 40001 40P01 40002 25P02"),
            (ErrorClass::RetryStatement, "55P03 57014"),
            (ErrorClass::OutcomeUnknown, "08007 40003"),
            (
                ErrorClass::Rejected,
                "22012 23505 42601 42P01 28P01 3D000 25P01 25006 3B001 0A000 53100 XX000 P0001 00000",
            ),
        ];
        for (expected, codes) in table {
            for code in codes.split(' ') {
                assert_eq!(class(code), expected, "{code}");
            }
        }
    }
}
