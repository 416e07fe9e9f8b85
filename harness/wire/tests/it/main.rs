//! The proxy against a scripted server and a client that speaks bytes.

mod network_faults;
mod passing;
mod wire;
