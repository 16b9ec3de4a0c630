//! The agent: what joins the state machines of `signpost-core` to a device.

pub mod config;
