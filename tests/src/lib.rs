//! What Signpost is tested with beside the tests themselves: the simulated [`world`], [`flash`]
//! under power cuts, and the [`rig`] of real processes, sockets and files.

pub mod flash;
#[cfg(feature = "rig")]
pub mod rig;
#[cfg(feature = "world")]
pub mod world;
