//! The wire proxy against a scripted server and a client that speaks bytes.

mod passing;
mod troubles;
mod wire;
