//! `signpost reload`.

use super::Options;
use super::exit::{Exit, Failure};
use super::output;

/// Has the running agent read its configuration anew. A wrong one is not taken, and its first
/// problem is said here.
pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    // Whoever has just broken the files finds the agent all the same.
    options.control()?.post("/v1/reload")?.success()?;
    output::print("The agent goes on with the configuration as it is now.\n")?;
    Ok(Exit::Done)
}
