//! The systems that accompany `unstale-harness`.
//!
//! | module | owns |
//! | --- | --- |
//! | [`systems`] | sqlx's own pools, the library `unstale`, and the control: a correct system with one flaw at a time |
//! | [`sim`] | the library over a simulated database in virtual time |
//! | [`zoo`] | broken systems, each with a defect met in real software; the harness must catch every one |
//! | [`storm`] | many actors on real threads while faults are injected, and the judge of their history |
//!
//! Published for the command `unstale`; a test of an application needs `unstale-harness` alone.

pub mod sim;
pub mod storm;
pub mod systems;
pub mod zoo;
