//! Hazard: a service that would hold what belongs to one scope, a filter on what its table does not have. It does not compile,
//! and the compiler says why.
//!
//! The messages are those of Rust 1.95. What another compiler says in other words is read, and accepted with
//! `TRYBUILD=overwrite`.

#[test]
fn what_can_only_go_wrong_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
