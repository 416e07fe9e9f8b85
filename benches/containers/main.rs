//! The lookups of `benches/registry.rs` in two other containers, in the same run: ours, `dill` and `shaku`.
//!
//! The same everywhere: services behind `Arc`, safe between threads, and a chain of forty of which each takes the one before
//! it. What a container cannot do has no line: `shaku` has no scopes, so its forty are components of a module that is built
//! anew, and its cached lookup is of such a component. Neither has asynchronous factories, so theirs are plain functions;
//! ours are asked through a future, as always.

mod chain_of_dill;
mod chain_of_shaku;
mod chain_of_unstale;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, chain_of_unstale::lookups, chain_of_dill::lookups, chain_of_shaku::lookups);
criterion_main!(benches);
