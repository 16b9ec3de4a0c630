//! `signpost token`.

use clap::Args;
use url::form_urlencoded::Serializer;

use super::Options;
use super::exit::{Exit, Failure};
use super::output;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The API that the token is for (RFC 8707)
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// Another API, for which the sign-in's own token is exchanged (RFC 8693, on-behalf-of)
    #[arg(long, value_name = "AUDIENCE")]
    exchange: Option<String>,
    /// What it must allow; once for each scope
    #[arg(long, value_name = "S")]
    scope: Vec<String>,
    /// For how many seconds it must be good at least
    #[arg(long, value_name = "S")]
    min_ttl: Option<u32>,
    /// Print one JSON object with OAuth's names
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let (answer, object) = options.tokens()?.get(&path(arguments))?.success_as_text()?;
    let token = answer["access_token"]
        .as_str()
        .ok_or_else(|| Failure::new(Exit::Bug, "server_error", "the agent gave no token"))?;
    let text = if arguments.json { object } else { format!("{token}\n") };
    output::print(&text)?;
    Ok(Exit::Done)
}

fn path(arguments: &Arguments) -> String {
    let mut query = Serializer::new(String::from("/v1/token?"));
    if let Some(resource) = &arguments.resource {
        query.append_pair("resource", resource);
    }
    if let Some(audience) = &arguments.exchange {
        query.append_pair("audience", audience);
    }
    for scope in &arguments.scope {
        query.append_pair("scope", scope);
    }
    if let Some(min_ttl) = arguments.min_ttl {
        query.append_pair("min_ttl", &min_ttl.to_string());
    }
    query.finish()
}
