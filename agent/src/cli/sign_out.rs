//! `signpost sign-out` and `signpost reset`.

use std::io::{self, IsTerminal as _};

use clap::Args;
use serde_json::Value;

use super::Options;
use super::exit::{Exit, Failure};
use super::output;
use super::status::look;

#[derive(Debug, Args)]
pub(super) struct ResetArguments {
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

pub(super) fn sign_out(options: &Options) -> Result<Exit, Failure> {
    let agent = options.control()?;
    let before = look(&agent)?;
    agent.post("/v1/sign-out")?.success()?;
    let text = match before["grant"]["status"].as_str() {
        Some("none") => "Nobody was signed in.\n",
        _ if has_to_tell_issuer(&look(&agent)?) => {
            "Signed out. The sign-in service is told as soon as it can be reached; leave the \
             device connected until then.\n"
        }
        _ => "Signed out.\n",
    };
    output::print(text)?;
    Ok(Exit::Done)
}

pub(super) fn reset(options: &Options, arguments: &ResetArguments) -> Result<Exit, Failure> {
    let agent = options.control()?;
    look(&agent)?;
    if !arguments.yes && !is_meant()? {
        output::print("Nothing was changed.\n")?;
        return Ok(Exit::Done);
    }
    agent.post("/v1/reset")?.success()?;
    let after = look(&agent)?;
    let id = output::harmless(after["device_id"].as_str().unwrap_or("?"));
    let told = match has_to_tell_issuer(&after) {
        true => {
            " The sign-in service is told as soon as it can be reached; leave the device \
             connected until then."
        }
        false => "",
    };
    output::print(&format!("Everything is wiped; the device is {id} now.{told}\n"))?;
    Ok(Exit::Done)
}

fn has_to_tell_issuer(status: &Value) -> bool {
    status["faults"].as_array().into_iter().flatten().any(|fault| fault["code"] == "E23")
}

/// Asks whoever is at the terminal.
fn is_meant() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let text =
            "a reset wipes the sign-in and all that waits to be sent; say --yes if that is meant";
        return Err(Failure::new(Exit::Usage, "usage", text));
    }
    output::print("This wipes the sign-in and all that waits to be sent. Go on? [y/N] ")?;
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::new(Exit::Later, "input", format!("cannot read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
