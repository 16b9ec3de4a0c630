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
    if before["grant"]["status"] == "none" {
        output::print("Nobody was signed in.\n")?;
        return Ok(Exit::Done);
    }
    let pending = has_to_tell_issuer(&look(&agent)?);
    output::print(&format!("Signed out. {}{}\n", taken_along(&before), later(pending)))?;
    Ok(Exit::Done)
}

pub(super) fn reset(options: &Options, arguments: &ResetArguments) -> Result<Exit, Failure> {
    let agent = options.control()?;
    let before = look(&agent)?;
    let is_signed_in = before["grant"]["status"] != "none";
    let taken_along = if is_signed_in { taken_along(&before) } else { "" };
    if !arguments.yes && !is_meant(taken_along)? {
        output::print("Nothing was changed.\n")?;
        return Ok(Exit::Done);
    }
    agent.post("/v1/reset")?.success()?;
    let after = look(&agent)?;
    let id = output::harmless(after["device_id"].as_str().unwrap_or("?"));
    let told = match taken_along {
        "" => String::new(),
        text => format!(" {text}"),
    };
    let later = later(has_to_tell_issuer(&after));
    output::print(&format!("Everything is wiped; the device is {id} now.{told}{later}\n"))?;
    Ok(Exit::Done)
}

/// What ends with the sign-in of this device, at the issuer.
fn taken_along(status: &Value) -> &'static str {
    match status["grant"]["revocation"].as_str() {
        Some("this-device") => "It ends this device's sign-in alone; the user's others stay.",
        Some("all-of-user") => {
            "It ends the sign-ins of all of this user's devices of this kind: the sign-in service \
             knows no other way."
        }
        // The journal says so once it was tried.
        Some("nothing") => {
            "The sign-in service takes no such word from a device: end the sign-in there, too, where \
             the device leaves your hands."
        }
        Some(_) | None => "",
    }
}

const fn later(pending: bool) -> &'static str {
    match pending {
        true => {
            " The sign-in service is told as soon as it can be reached; leave the device connected \
             until then."
        }
        false => "",
    }
}

fn has_to_tell_issuer(status: &Value) -> bool {
    status["faults"].as_array().into_iter().flatten().any(|fault| fault["code"] == "E23")
}

/// Asks whoever is at the terminal.
fn is_meant(taken_along: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let text =
            "a reset wipes the sign-in and all that waits to be sent; say --yes if that is meant";
        return Err(Failure::new(Exit::Usage, "usage", text));
    }
    let told = if taken_along.is_empty() { String::new() } else { format!(" {taken_along}") };
    let text = format!("This wipes the sign-in and all that waits to be sent.{told} Go on? [y/N] ");
    output::print(&text)?;
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::new(Exit::Later, "input", format!("cannot read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
