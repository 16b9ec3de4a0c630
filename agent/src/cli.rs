//! The command line: what people and scripts ask of the agent, and how it tells them.
//!
//! Answers go to standard output; what went wrong is one line on standard error (what, why, what
//! to do) and an [exit code](Exit) that says who can act. With `--json` both are one JSON object
//! on standard output.

mod agent;
mod check;
mod config;
mod credential;
mod exit;
mod output;
#[cfg(feature = "preview")]
mod preview;
mod probe;
mod reload;
mod report;
mod sign_in;
mod sign_out;
mod status;
mod token;

use std::io;
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::runtime;

use crate::shell::journal;
use crate::shell::panels::broken;
use crate::shell::run::{self, RunError};
use crate::shell::sockets::Inherited;
use crate::shell::supervisor::not_started;
use exit::{Exit, Failure};

/// Signs this device in without a browser, and speaks in its user's name from then on.
#[derive(Debug, Parser)]
#[command(name = "signpost", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Options {
    /// Configuration file, instead of the installed ones
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Run,
    /// Say how the device is doing
    Status(status::Arguments),
    /// Print an access token
    Token(token::Arguments),
    /// Have the running agent read its configuration anew
    Reload,
    /// Start a sign-in, show its code and wait for its end
    SignIn(sign_in::Arguments),
    /// Forget the user and have the sign-in revoked
    SignOut,
    /// Forget the user and wipe everything that the device keeps
    Reset(sign_out::ResetArguments),
    /// Look for what keeps the device from working, and say what to do
    Check(check::Arguments),
    /// Print what support asks for, without secrets, codes and accounts
    Report(report::Arguments),
    /// Show what a panel would show, without the hardware
    #[cfg(feature = "preview")]
    Preview(preview::Arguments),
    /// Check, show and explain the configuration
    #[command(subcommand)]
    Config(config::Command),
}

/// The command line's own definition, for manual pages and completions.
#[cfg(feature = "manual")]
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Does what the arguments of this process say.
#[must_use]
pub fn main() -> ExitCode {
    exit_at_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let json = cli.command.is_json();
    match cli.command.run(&cli.options) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(json),
    }
}

impl Command {
    fn run(self, options: &Options) -> Result<Exit, Failure> {
        match self {
            Self::Run => run_agent(options).inspect_err(|failure| not_started(&failure.text)),
            Self::Status(arguments) => status::run(options, &arguments),
            Self::Token(arguments) => token::run(options, &arguments),
            Self::Reload => reload::run(options),
            Self::SignIn(arguments) => sign_in::run(options, &arguments),
            Self::SignOut => sign_out::sign_out(options),
            Self::Reset(arguments) => sign_out::reset(options, &arguments),
            Self::Check(arguments) => check::run(options, &arguments),
            Self::Report(arguments) => report::run(options, &arguments),
            #[cfg(feature = "preview")]
            Self::Preview(arguments) => preview::run(&arguments),
            Self::Config(command) => config::run(options, &command),
        }
    }

    fn is_json(&self) -> bool {
        match self {
            Self::Status(arguments) => arguments.json,
            Self::Token(arguments) => arguments.json,
            Self::Check(arguments) => arguments.json,
            Self::Report(arguments) => arguments.json,
            #[cfg(feature = "preview")]
            Self::Preview(_) => false,
            Self::Run
            | Self::Reload
            | Self::SignIn(_)
            | Self::SignOut
            | Self::Reset(_)
            | Self::Config(_) => false,
        }
    }
}

fn run_agent(options: &Options) -> Result<Exit, Failure> {
    // Before anything else opens a file.
    let inherited = Inherited::take();
    let loaded = options.load()?;
    let sources = options.sources();
    journal::install();
    run::harden();
    let system = |error: io::Error| RunError::System(error);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(system);
    let ran = runtime.and_then(|runtime| {
        let ran = runtime.block_on(async {
            run::run_by_files(loaded, &sources, inherited, run::terminated()?).await
        });
        // A name that is being resolved, or a disk that hangs, does not hold up the end.
        runtime.shutdown_background();
        ran
    });
    match ran {
        Ok(()) => Ok(Exit::Done),
        Err(RunError::Config(error)) => Err(agent::configuration(&error)),
        Err(error) => Err(Failure::new(Exit::of_run(&error), "not_started", error)),
    }
}

/// Waits for `span` between two looks at the agent.
#[expect(
    clippy::disallowed_methods,
    reason = "a command waits for somebody, and has nothing to miss"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// Has a panic anywhere end the process with the code of a bug; whoever started it starts it again,
/// without the panel or button whose driver it was. What a panic says may hold anything, so it goes
/// nowhere.
pub fn exit_at_panic() {
    panic::set_hook(Box::new(|info| {
        broken::note();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = format!("a bug at {place}; please report it");
        output::complain(&text);
        #[expect(clippy::exit, reason = "the one way to an exit code out of a panic")]
        std::process::exit(Exit::Bug as i32);
    }));
}
