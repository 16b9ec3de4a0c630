//! The agent inside of another program, as the demonstration has it.

use super::{device::Device, servers::Servers};
use signpost::{
    ports::{Answer, Call},
    shell::{
        calls::Calls,
        run::{Agent, RunError},
    },
    status::Status,
};
use signpost_hal::sim::EmulatedBoard;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// An agent that runs.
pub(crate) struct Running {
    pub(crate) calls: Calls,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn start(device: &Device) -> Self {
        Self::run(Agent::open(&device.load()).unwrap())
    }

    /// The same on an emulated board.
    pub(crate) fn start_on(board: EmulatedBoard, device: &Device) -> Self {
        Self::run(Agent::open_on(board, &device.load()).unwrap())
    }

    fn run(agent: Agent) -> Self {
        let calls = agent.calls();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(agent.run(async {
            let _ = stopped.await;
        }));
        Self { calls, stop, ended }
    }

    async fn status(&self) -> Status {
        let answer = self.calls.ask(Call::Status { private: true }).await.unwrap();
        let Answer::Status(status) = answer else { panic!("{answer:?}") };
        *status
    }

    /// The status, once it is as `wanted`.
    pub(crate) async fn becomes(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

fn is_pairing(status: &Status) -> bool {
    status.pairing.is_some()
}

#[tokio::test]
async fn a_person_approves_telemetry_flows_and_a_restart_stays_signed_in() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let agent = Running::start(&device);
    agent.becomes(is_pairing).await;
    servers.world().approved = true;
    servers.saw(|world| !world.telemetry.is_empty()).await;
    assert_eq!(servers.world().telemetry[0], "Bearer at-secret-0");
    agent.becomes(|status| status.delivery.records == 0).await;
    agent.stop().await;

    let agent = Running::start(&device);
    let status = agent.becomes(|status| status.state == "online").await;
    assert_eq!((status.grant.status, servers.world().codes), ("held", 1));
    servers.saw(|world| world.telemetry.iter().any(|bearer| bearer == "Bearer at-secret-1")).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_code_on_show_survives_a_restart_of_the_agent() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let agent = Running::start(&device);
    let shown = agent.becomes(is_pairing).await.pairing.unwrap();
    agent.stop().await;
    let kept = device.path("run/pending");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);

    let agent = Running::start(&device);
    let again = agent.becomes(is_pairing).await.pairing.unwrap();
    assert_eq!(again.user_code, shown.user_code);
    assert_eq!(servers.world().codes, 1, "nobody asked for another");
    servers.world().approved = true;
    agent.becomes(|status| status.grant.status == "held").await;
    assert!(!kept.exists(), "it is over");
    agent.stop().await;
}

#[tokio::test]
async fn invariant_3_a_lost_key_sets_the_store_aside_and_asks_for_a_new_sign_in() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let agent = Running::start(&device);
    servers.world().approved = true;
    agent.becomes(|status| status.grant.status == "held").await;
    agent.stop().await;
    fs::remove_file(device.path("state/signpost.key")).unwrap();
    servers.world().approved = false;

    let agent = Running::start(&device);
    let status = agent.becomes(is_pairing).await;
    assert_eq!(status.grant.status, "none");
    assert!(status.faults.iter().any(|fault| fault.code == "E16"), "{:?}", status.faults);
    assert!(device.path("state/tokens.flash.set-aside-1").exists());
    agent.stop().await;
}

#[tokio::test]
async fn a_second_agent_does_not_start_and_harms_nothing() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let agent = Running::start(&device);
    let error = Agent::open(&device.load()).unwrap_err();
    assert_eq!(error.exit_code(), 69, "{error}");
    assert!(error.to_string().contains("is the agent running already"), "{error}");
    agent.becomes(is_pairing).await;
    agent.stop().await;
    assert!(!device.path("run/control.sock").exists(), "the first one had it to the end");
}

#[tokio::test]
async fn a_broken_key_stops_the_start_for_good() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    fs::create_dir(device.path("state")).unwrap();
    device.write("state/signpost.key", b"short");
    fs::set_permissions(device.path("state/signpost.key"), fs::Permissions::from_mode(0o600))
        .unwrap();
    let error = Agent::open(&device.load()).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("signpost.key is not 32 bytes long"), "{error}");
}

#[tokio::test]
async fn an_issuer_that_hangs_does_not_hold_up_a_stop() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    servers.world().lifetime = 2;
    let agent = Running::start(&device);
    servers.world().approved = true;
    agent.becomes(|status| status.grant.status == "held").await;
    servers.world().hangs = true;
    let before = servers.world().refreshes;
    servers.saw(|world| world.refreshes > before).await;
    timeout(Duration::from_secs(8), agent.stop()).await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_an_answer_that_may_hold_a_new_token() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let agent = Running::start(&device);
    agent.becomes(is_pairing).await;
    servers.world().approved = true;
    // The poll that brings the grant may be under way in this very moment, or not.
    agent.stop().await;
    let agent = Running::start(&device);
    agent.becomes(|status| status.grant.status == "held").await;
    assert_eq!(servers.world().codes, 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_token_file_holds_the_newest_token_and_goes_with_the_sign_in() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    servers.world().lifetime = 1;
    let file = device.path("run/collector.token");
    let rule = format!(
        "[broker.allow.collector]\nuid = {}\nscopes = [\"telemetry.write\"]\nfile = \"{}\"\n[control]",
        rustix::process::geteuid().as_raw(),
        file.display()
    );
    device.edit("[control]", &rule);
    let agent = Running::start(&device);
    agent.becomes(is_pairing).await;
    assert!(!file.exists(), "nobody is signed in");
    servers.world().approved = true;
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        looks.tick().await;
        if let Ok(token) = fs::read_to_string(&file) {
            assert!(token.starts_with("at-secret-") && !token.ends_with('\n'), "{token:?}");
            seen.insert(token);
        }
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!device.path("run/collector.token.new").exists());
    let answer = agent.calls.ask(Call::SignOut).await.unwrap();
    assert!(matches!(answer, Answer::Done), "{answer:?}");
    while file.exists() {
        looks.tick().await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn who_no_longer_waits_makes_room() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    servers.world().lifetime = 1;
    let agent = Running::start(&device);
    servers.world().approved = true;
    agent.becomes(|status| status.grant.status == "held").await;
    servers.world().hangs = true;
    let ask = || {
        let calls = agent.calls.clone();
        let call = Call::Token { key: Default::default(), min_ttl: Duration::ZERO };
        async move { calls.ask(call).await }
    };
    // The last token runs out, and from then on everybody waits, until there are too many.
    let mut waiting = JoinSet::new();
    while !matches!(waiting.try_join_next(), Some(Ok(Ok(Answer::TryLater(_))))) {
        waiting.spawn(ask());
        tokio::task::yield_now().await;
    }
    waiting.shutdown().await;
    // Nobody of them waits any more.
    while timeout(Duration::from_millis(20), ask()).await.is_ok() {}
    agent.stop().await;
}

#[tokio::test]
async fn status_has_the_issuers_error_with_what_its_support_asks_for() {
    let servers = Servers::start().await;
    servers.world().refusal = Some(
        r#"{"error":"unauthorized_client","error_codes":[700016],"trace_id":"t-1",
            "correlation_id":"c-1","error_uri":"https://idp.example/error?code=700016",
            "error_description":"AADSTS700016: anna@acme.example has no such app"}"#,
    );
    let device = Device::new(&servers);
    let agent = Running::start(&device);
    let status = agent.becomes(|status| status.state == "fault").await;
    let fault = status.faults.iter().find(|fault| fault.code == "E08").unwrap();
    let said = "unauthorized_client (AADSTS700016, correlation id c-1, trace id t-1, \
                see https://idp.example/error?code=700016)";
    assert_eq!(fault.detail.as_deref(), Some(said));
    agent.stop().await;
}
