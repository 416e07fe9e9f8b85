//! Sessions, scopes, a service registry and a repository base over sqlx in which a stale session cannot be used.
//!
//! # The problem
//!
//! An application keeps services in a registry. Services hold repositories, repositories hold a database session. The
//! session ends and somebody still holds it: from then on the application answers "This Connection is closed", or
//! worse, it runs on a connection that belongs to somebody else by now.
//!
//! # What there is
//!
//! Nothing to call yet. The library is built after the instrument that judges it: `unstale-harness`, which generates
//! interleavings of sessions, transactions and cancellations, runs them against a real database and a model, and shrinks
//! what breaks. `docs/ARCHITECTURE.md` says what comes here.
