//! `signpost config`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Options;
use super::exit::{Exit, Failure};
use super::output;
use crate::config::{self, SAMPLE, Sources};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check files as layers in this order, without a device; the installed ones if none is named
    Check {
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print what is in force, and where each value was set; secrets are hidden
    Show,
    /// Print an annotated sample
    Sample,
    /// Print the systemd drop-in that allows exactly the configured devices
    Unit,
}

pub(super) fn run(options: &Options, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Check { files } => check(options, files),
        Command::Show => output::print(&config::show(&options.load()?)).map(|()| Exit::Done),
        Command::Sample => output::print(SAMPLE).map(|()| Exit::Done),
        Command::Unit => output::print(&config::unit(&options.load()?.config)).map(|()| Exit::Done),
    }
}

/// Every problem on a line of its own: this is where one comes to see them all.
fn check(options: &Options, files: &[PathBuf]) -> Result<Exit, Failure> {
    let sources = if files.is_empty() { options.sources() } else { Sources::files(files) };
    match config::check(&sources) {
        Ok(()) => output::print("ok\n").map(|()| Exit::Done),
        Err(error) => {
            for line in error.to_string().lines() {
                output::complain(line);
            }
            Ok(Exit::Configuration)
        }
    }
}
