//! What Signpost is tested with beside the tests themselves: the simulated [`world`], and [`flash`]
//! under power cuts.

pub mod flash;
#[cfg(feature = "world")]
pub mod world;
