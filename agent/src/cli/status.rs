//! `signpost status`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use serde_json::Value;
use signpost_hal::clock;

use super::agent::Agent;
use super::exit::{Exit, Failure};
use super::output::{self, bold, harmless};
use super::{Options, pause};

const STATES: [&str; 8] =
    ["starting", "no-clock", "no-network", "pairing", "online", "offline", "waiting", "fault"];

/// Between two looks at the agent.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Wait until this is the state
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(STATES))]
    wait: Option<String>,
    /// For how many seconds to wait at most
    #[arg(long, value_name = "S", default_value_t = 600, requires = "wait")]
    timeout: u32,
}

pub(super) fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let agent = options.control()?;
    let (status, object) = match &arguments.wait {
        Some(state) => wait(&agent, state, Duration::from_secs(arguments.timeout.into()))?,
        None => look_as_text(&agent)?,
    };
    let text = if arguments.json { object } else { for_people(&status) };
    output::print(&text)?;
    Ok(Exit::Done)
}

/// How it stands now.
pub(super) fn look(agent: &Agent) -> Result<Value, Failure> {
    agent.get("/v1/status")?.success()
}

fn look_as_text(agent: &Agent) -> Result<(Value, String), Failure> {
    agent.get("/v1/status")?.success_as_text()
}

/// An agent that is just being started, or busy, may become reachable.
fn wait(agent: &Agent, state: &str, most: Duration) -> Result<(Value, String), Failure> {
    let until = clock::boot() + most;
    loop {
        let found = look_as_text(agent);
        match &found {
            Ok((status, _)) if status["state"] == state => return found,
            Err(failure) if !matches!(failure.exit, Exit::Unreachable | Exit::Later) => {
                return found;
            }
            Ok(_) | Err(_) => {}
        }
        if clock::boot() >= until {
            let (status, _) = found?;
            let now = status["state"].as_str().unwrap_or_default();
            let text = format!("the state is {now}, not {state}, after {} s", most.as_secs());
            return Err(Failure::new(Exit::Later, "timeout", text));
        }
        pause(LOOK_AGAIN);
    }
}

/// Status in plain words.
pub(super) fn for_people(status: &Value) -> String {
    let now = status["generated_at"].as_str();
    let mut out = format!("{}\n", bold(headline(status)));
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<11}{text}");
    };
    if let Some(text) = account(status, now) {
        line("Signed in", text);
    }
    if let Some(text) = own_name(&status["own_name"], now) {
        line("Own name", text);
    }
    let pairing = &status["pairing"];
    if let Some(code) = pairing["user_code"].as_str() {
        line("Open", harmless(pairing["verification_uri"].as_str().unwrap_or_default()));
        let left = pairing["expires_in"].as_u64().unwrap_or_default();
        line("Code", format!("{}  ({} left)", bold(&harmless(code)), span(left)));
    }
    if let Some(ended) = status["pairing_ended"].as_str().filter(|_| pairing.is_null()) {
        line("Last try", super::sign_in::ended_in_words(ended).to_owned());
    }
    line("Telemetry", telemetry(&status["delivery"], now));
    if let Some(text) = flash(&status["flash"]) {
        line("Flash", text);
    }
    let text = |key: &str| harmless(status[key].as_str().unwrap_or("?"));
    line("Device", format!("{}, Signpost {}", text("device_id"), text("version")));
    for fault in status["faults"].as_array().into_iter().flatten() {
        let text = |key: &str| harmless(fault[key].as_str().unwrap_or_default());
        let since = fault["since"].as_str().map(|at| format!(", since {}", moment(at, now)));
        let title = bold(&format!("{} {}", text("code"), text("title")));
        let _ = write!(out, "\n{title}{}\n", since.unwrap_or_default());
        for key in ["detail", "advice"].into_iter().filter(|key| !fault[*key].is_null()) {
            let _ = writeln!(out, "  {}", text(key));
        }
    }
    out
}

fn headline(status: &Value) -> &'static str {
    let suspended = status["grant"]["status"] == "suspended";
    match status["state"].as_str().unwrap_or_default() {
        "starting" => "Starting",
        "no-clock" => "Waiting for the time: the device's clock is not set",
        "no-network" => "No network: the sign-in service cannot be reached",
        "pairing" if status["pairing"].is_null() => "Sign-in: nearly done",
        "pairing" => "Sign in this device",
        "online" => "Online",
        "offline" => "Signed in, but offline: what comes in is kept and sent later",
        "waiting" if suspended => "Sign in again: run `signpost sign-in`",
        "waiting" => "Not signed in: run `signpost sign-in`",
        "fault" => "Somebody has to mend something",
        _ => "In a state that this version does not know",
    }
}

fn account(status: &Value, now: Option<&str>) -> Option<String> {
    let grant = &status["grant"];
    let suspended = match grant["status"].as_str()? {
        "held" => "",
        "suspended" => "; the issuer does not honour it now",
        _ => return None,
    };
    let name = grant["account"]["name"].as_str().or(grant["account"]["subject"].as_str());
    let name =
        name.map_or("by somebody unnamed".to_owned(), |name| format!("as {}", harmless(name)));
    let since = grant["signed_in_at"].as_str().map(|at| format!(", since {}", moment(at, now)));
    let ends = grant["expires_at"].as_str().map(|at| format!(", ends {}", date(at)));
    Some(format!("{name}{}{}{suspended}", since.unwrap_or_default(), ends.unwrap_or_default()))
}

fn own_name(own: &Value, now: Option<&str>) -> Option<String> {
    let last = own["last_token_at"].as_str().map(|at| format!(", token of {}", moment(at, now)));
    Some(match (own["status"].as_str()?, own["sending"].as_bool()) {
        ("held", Some(true)) => {
            format!("the device sends what is nobody's in it{}", last.unwrap_or_default())
        }
        ("held", _) => format!("the device has one{}", last.unwrap_or_default()),
        ("refused", _) => "the issuer gives the device no token in it".to_owned(),
        _ => "no token was needed yet".to_owned(),
    })
}

fn telemetry(delivery: &Value, now: Option<&str>) -> String {
    let number = |key: &str| delivery[key].as_u64().unwrap_or_default();
    let (records, dropped) = (number("records"), number("dropped"));
    let waiting = format!("{} ({}) waiting", count(records, "request"), size(number("bytes")));
    let mut text = match delivery["status"].as_str().unwrap_or_default() {
        "off" if records == 0 => "not set up: telemetry.endpoint names no backend".to_owned(),
        "off" => format!("{waiting}: telemetry.endpoint names no backend"),
        "holding" if records == 0 => match why(delivery["reason"].as_str()) {
            Some(why) => format!("nothing waiting; {why}"),
            None => "nothing waiting".to_owned(),
        },
        "holding" => match why(delivery["reason"].as_str()) {
            Some(why) => format!("{waiting}: {why}"),
            None => waiting,
        },
        "sending" => format!("sending, {waiting}"),
        _ if records > 0 => waiting,
        _ => match delivery["last_success_at"].as_str() {
            Some(at) => format!("all delivered, last {}", moment(at, now)),
            None => "nothing to send yet".to_owned(),
        },
    };
    if let Some(age) = delivery["oldest_age"].as_u64().filter(|_| records > 0) {
        let _ = write!(text, ", for {}", span(age));
    }
    if dropped > 0 {
        let _ = write!(text, "; {} given up since the start", count(dropped, "record"));
        let reasons = delivery["dropped_by"].as_object().into_iter().flatten();
        let reasons = reasons.filter_map(|(reason, n)| Some(format!("{} {reason}", n.as_u64()?)));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        if !reasons.is_empty() {
            let _ = write!(text, " ({})", harmless(&reasons));
        }
    }
    text
}

/// What a day costs, once that is known.
fn flash(flash: &Value) -> Option<String> {
    let per_day = size(flash["written_per_day"].as_u64()?);
    let life = flash["life_days"].as_u64().map(|days| match days {
        36_500.. => ", for a century and more".to_owned(),
        730.. => format!(", for {} years at least", days / 365),
        _ => format!(", for {days} days at least"),
    });
    Some(format!("{per_day} written a day{}", life.unwrap_or_default()))
}

fn why(reason: Option<&str>) -> Option<&'static str> {
    match reason? {
        "sign-in" => Some("somebody has to sign in first"),
        "unauthorized" => Some("the backend refuses the token"),
        "forbidden" => Some("the backend forbids this account to send"),
        "unreachable" => Some("the backend cannot be reached"),
        "storage" => Some("flash fails"),
        _ => None,
    }
}

/// A date with how long ago that was.
fn moment(at: &str, now: Option<&str>) -> String {
    let parse = |text: &str| text.parse::<Timestamp>().ok();
    match (parse(at), now.and_then(parse)) {
        (Some(at), Some(now)) if at <= now => {
            let seconds = now.duration_since(at).as_secs().unsigned_abs();
            format!("{} ({} ago)", date(&at.to_string()), span(seconds))
        }
        _ => date(at),
    }
}

/// `2026-11-20T14:03:22Z` as people write it.
fn date(at: &str) -> String {
    match at.parse::<Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => harmless(at),
    }
}

/// A length of time in its largest unit.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
