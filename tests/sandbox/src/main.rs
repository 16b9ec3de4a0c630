//! The sandbox as a program: for scripts, for device makers, and for a look at its pages.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use signpost_sandbox::{Client, Options, Rotation, Sandbox, Tls, Vendor};
use tokio::signal::unix::{SignalKind, signal};

/// An identity provider with device authorization and an OTLP backend, to try devices against.
///
/// Anybody who reaches it can sign in as anybody: it is a tool for tests and demonstrations. Faults
/// are switched on over HTTP, see /control in its README.
#[derive(Parser)]
#[command(name = "signpost-sandbox", version)]
struct Arguments {
    /// Address of both servers; any but loopback needs --tls-dir.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    listen: IpAddr,
    /// Name or address that devices reach it by; the listening address if absent.
    #[arg(long)]
    host: Option<String>,
    /// Port of the identity provider; 0 for any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the telemetry backend; 0 for any free one.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    telemetry_port: u16,
    /// Speak HTTPS, by an authority kept in this directory as ca.pem and ca-key.pem.
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// A client that may ask for sign-ins, with its secret after a colon if it has one; repeatable.
    #[arg(long, value_name = "ID[:SECRET]", default_value = "signpost")]
    client: Vec<String>,
    /// A further audience that tokens can be had for; repeatable.
    #[arg(long, value_name = "URI")]
    resource: Vec<String>,
    /// Seconds between polls.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    interval: u32,
    /// The vendor whose manners it has: entra, google, auth0, okta, keycloak, github, cognito or
    /// generic.
    #[arg(long, default_value = "generic", value_parser = vendor, value_name = "NAME")]
    profile: Vendor,
    /// How long a user code works; as the vendor has it if absent.
    #[arg(long, value_name = "SECONDS")]
    code_lifetime: Option<u32>,
    /// How long an access token works.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    token_lifetime: u32,
    /// How long a grant lasts; without end if absent.
    #[arg(long, value_name = "SECONDS")]
    grant_lifetime: Option<u32>,
    /// What becomes of used refresh tokens: never (rotated), lenient (the old one works on) or
    /// strict (the old one, used again, ends the grant); as the vendor has it if absent.
    #[arg(long, value_parser = rotation)]
    rotation: Option<Rotation>,
    /// Print the addresses as one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "signpost-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
    if !arguments.listen.is_loopback() && arguments.tls_dir.is_none() {
        return Err(io::Error::other(
            "devices refuse plain HTTP to another machine (RFC 8628): give --tls-dir as well",
        ));
    }
    let json = arguments.json;
    let ca_file = arguments.tls_dir.as_ref().map(|dir| dir.join("ca.pem"));
    let sandbox = Sandbox::start(options(arguments)).await?;
    let mut out = io::stdout();
    if json {
        let addresses = serde_json::json!({
            "issuer": sandbox.issuer_url(),
            "telemetry": sandbox.telemetry_url(),
            "sign_in": format!("{}/device", sandbox.issuer_url()),
            "control": format!("{}/control", sandbox.issuer_url()),
            "ca_file": ca_file,
        });
        writeln!(out, "{addresses}")?;
    } else {
        writeln!(out, "issuer     {}", sandbox.issuer_url())?;
        writeln!(out, "sign in    {}/device", sandbox.issuer_url())?;
        writeln!(out, "telemetry  {}   (open it in a browser)", sandbox.telemetry_url())?;
        writeln!(out, "control    {}/control", sandbox.issuer_url())?;
        if let Some(ca_file) = ca_file {
            writeln!(out, "authority  {}", ca_file.display())?;
        }
    }
    out.flush()?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

fn options(arguments: Arguments) -> Options {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let client = |text: String| match text.split_once(':') {
        Some((id, secret)) => {
            Client { id: id.to_owned(), name: id.to_owned(), secret: Some(secret.to_owned()) }
        }
        None if text == "signpost" => {
            Client { id: text, name: "Signpost device".to_owned(), secret: None }
        }
        None => Client { id: text.clone(), name: text, secret: None },
    };
    let usual = Options::of(arguments.profile);
    Options {
        listen: arguments.listen,
        host: arguments.host,
        issuer_port: arguments.port,
        telemetry_port: arguments.telemetry_port,
        tls: arguments.tls_dir.map(Tls::Kept),
        clients: arguments.client.into_iter().map(client).collect(),
        resources: arguments.resource,
        interval: Some(seconds(arguments.interval)),
        code_lifetime: arguments.code_lifetime.map_or(usual.code_lifetime, seconds),
        access_lifetime: seconds(arguments.token_lifetime),
        refresh_lifetime: arguments.grant_lifetime.map(seconds),
        rotation: arguments.rotation.unwrap_or(usual.rotation),
        ..usual
    }
}

fn vendor(text: &str) -> Result<Vendor, String> {
    Vendor::named(text).ok_or_else(|| Vendor::ALL.map(Vendor::name).join(", "))
}

fn rotation(text: &str) -> Result<Rotation, String> {
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|_| "never, lenient or strict".to_owned())
}
