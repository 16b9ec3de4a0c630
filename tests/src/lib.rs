//! What Signpost is tested with beside the tests themselves: the simulated [`world`].

pub mod world;
