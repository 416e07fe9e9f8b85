//! Words that may stand before a parenthesis in a statement of PostgreSQL and leave nothing on the connection.
//!
//! Owns the list: keywords, types, and built-in functions that only compute or read. A function that changes anything, even if a
//! rollback undoes it, is not on the list, so a statement whose functions are all here may be run twice.
//!
//! And the names that are not believed, since some database has a function of its own by them. They are the whole process's: a text is
//! read without its database, and where another one has no such function the price is a question too many.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Sorted.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    "abs", "acos", "age", "all", "and", "any", "array", "array_agg", "array_append", "array_cat", "array_length",
    "array_lower", "array_position", "array_prepend", "array_remove", "array_replace", "array_to_json",
    "array_to_string", "array_upper", "as", "ascii", "asin", "atan", "atan2", "avg", "bit", "bit_and", "bit_length",
    "bit_or", "bool_and", "bool_or", "btrim", "by", "cardinality", "case", "cast", "cbrt", "ceil", "ceiling", "char",
    "char_length", "character", "character_length", "check", "chr", "clock_timestamp", "coalesce", "concat",
    "concat_ws", "conflict", "convert_from", "convert_to", "corr", "cos", "cot", "count", "covar_pop", "covar_samp",
    "cube", "cume_dist", "current_database", "current_schema", "current_schemas", "current_setting", "date",
    "date_bin", "date_part", "date_trunc", "dec", "decimal", "decode", "degrees", "dense_rank", "distinct", "div",
    "else", "encode", "every", "except", "exists", "exp", "extract", "factorial", "filter", "first_value", "float",
    "floor", "format", "from", "gcd", "gen_random_uuid", "generate_series", "generate_subscripts", "get_byte",
    "greatest", "group", "grouping", "hashtext", "having", "ilike", "in", "initcap", "inner", "intersect", "interval",
    "into", "isfinite", "join", "json_agg", "json_array_elements", "json_array_elements_text", "json_array_length",
    "json_build_array", "json_build_object", "json_each", "json_each_text", "json_extract_path",
    "json_extract_path_text", "json_object", "json_object_agg", "json_object_keys", "json_strip_nulls", "json_typeof",
    "jsonb_agg", "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array",
    "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_extract_path", "jsonb_extract_path_text",
    "jsonb_insert", "jsonb_object", "jsonb_object_agg", "jsonb_object_keys", "jsonb_path_exists", "jsonb_path_match",
    "jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first", "jsonb_pretty", "jsonb_set",
    "jsonb_strip_nulls", "jsonb_typeof", "justify_days", "justify_hours", "justify_interval", "key", "lag",
    "last_value", "lateral", "lcm", "lead", "least", "left", "length", "like", "limit", "ln", "log", "log10", "lower",
    "lpad", "ltrim", "make_date", "make_interval", "make_time", "make_timestamp", "make_timestamptz", "materialized",
    "max", "md5", "min", "mod", "mode", "not", "now", "nth_value", "ntile", "nullif", "num_nonnulls", "num_nulls",
    "numeric", "octet_length", "offset", "on", "only", "or", "order", "over", "overlay", "partition", "percent_rank",
    "percentile_cont", "percentile_disc", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_backend_pid",
    "pg_blocking_pids", "pg_column_size", "pg_current_xact_id", "pg_current_xact_id_if_assigned", "pg_is_in_recovery",
    "pg_sleep", "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared", "pg_typeof", "pg_xact_status",
    "phraseto_tsquery", "pi", "plainto_tsquery", "position", "power", "precision", "primary", "quote_ident",
    "quote_literal", "quote_nullable", "radians", "random", "rank", "references", "regexp_match", "regexp_matches",
    "regexp_replace", "regexp_split_to_array", "regexp_split_to_table", "regr_count", "repeat", "replace", "reverse",
    "right", "rollup", "round", "row", "row_number", "row_to_json", "rpad", "rtrim", "scale", "select", "set", "sets",
    "sha224", "sha256", "sha384", "sha512", "sign", "sin", "some", "split_part", "sqrt", "starts_with",
    "statement_timestamp", "stddev", "stddev_pop", "stddev_samp", "string_agg", "string_to_array", "strpos", "substr",
    "substring", "sum", "tan", "then", "time", "timeofday", "timestamp", "timestamptz", "timetz", "to_char",
    "to_date", "to_hex", "to_json", "to_jsonb", "to_number", "to_regclass", "to_timestamp", "to_tsquery",
    "to_tsvector", "transaction_timestamp", "translate", "trim", "trunc", "ts_headline", "ts_rank", "ts_rank_cd",
    "union", "unique", "unnest", "upper", "using", "values", "var_pop", "var_samp", "varbit", "varchar", "variance",
    "varying", "version", "websearch_to_tsquery", "when", "where", "width_bucket", "with", "within", "xmlagg",
    "xmlconcat", "xmlelement", "xmlforest",
];

static DISBELIEVED: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());
/// Whether there is any: few have one.
static IS_ANY_DISBELIEVED: AtomicBool = AtomicBool::new(false);

/// Whether this word, in whatever case, is known to leave nothing.
pub(super) fn is_harmless(word: &str) -> bool {
    let folded = || word.bytes().map(|it| it.to_ascii_lowercase());
    HARMLESS.binary_search_by(|it| it.bytes().cmp(folded())).is_ok() && !is_disbelieved(word)
}

fn is_disbelieved(word: &str) -> bool {
    IS_ANY_DISBELIEVED.load(Ordering::Acquire)
        && DISBELIEVED.read().unwrap_or_else(PoisonError::into_inner).contains(&word.to_ascii_lowercase())
}

/// The names on the list.
pub(crate) fn believed() -> impl Iterator<Item = &'static str> {
    HARMLESS.iter().copied()
}

/// From here on a function of this name may do anything.
pub(crate) fn disbelieve(name: &str) {
    DISBELIEVED.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase());
    IS_ANY_DISBELIEVED.store(true, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_sorted() {
        assert!(HARMLESS.is_sorted());
    }

    #[test]
    fn name_of_an_applications_own_function_is_not_believed() {
        assert!(is_harmless("acos"));
        disbelieve("acos");
        assert!(!is_harmless("ACOS") && is_harmless("asin"));
    }

    #[test]
    fn words_are_found_in_any_case() {
        assert!(["abs", "COUNT", "xmlforest", "Values"].into_iter().all(is_harmless));
        assert!(!["set_config", "nextval", "pg_notify", "", "xyz", "aaa"].into_iter().any(is_harmless));
    }
}
