//! The stores over flash that loses its power: models of what they must hold, and the cuts.

pub mod chance;
