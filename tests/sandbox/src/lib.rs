//! Signpost's sandbox: an identity provider with device authorization (RFC 8628) and an OTLP/HTTP
//! backend that checks its tokens, on loopback, each with faults that can be switched on.
//!
//! Tests start it in their own process ([`Sandbox::start`]); scripts and device makers run the
//! program `signpost-sandbox` and steer it over HTTP. It knows nothing of the agent.
//!
//! It promises that what it answers without a fault is right by the RFCs, that whatever a client
//! does wrong is recorded ([`Sandbox::violations`]), and that every table it keeps is bounded. It
//! is a tool for tests and demonstrations: anybody who reaches it can sign in as anybody.

mod backend;
mod certificates;
mod clock;
mod control;
mod fault;
mod issuer;
mod journal;
mod pages;
mod play;
mod provider;
mod reply;
mod sandbox;
mod wire;

pub use backend::otlp::{Encoding, Record, Signal};
pub use backend::{Received, Totals};
pub use certificates::{Certificate, Tls};
pub use fault::{Endpoint, Fault, RetryAfter, Times};
pub use issuer::device::{CodeError, PendingCode};
pub use issuer::vendor::Vendor;
pub use issuer::{Account, Client, Rotation};
pub use journal::Violation;
pub use provider::{Ask, Provider, Told};
pub use sandbox::{Options, Sandbox, Service};
